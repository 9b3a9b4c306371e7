"""ingest: quarantined claims, balances, reading again, the audit log."""

from alembic import op

from migrations.walls import FINDER, build_wall, create_finder

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ROLE = "reprieve_ingest"


def upgrade() -> None:
    # A claim has one row, which holds its latest reading: a higher revision is no second claim.
    op.execute(
        "alter table ingest.claims drop constraint claims_pkey, add primary key (organization_id, event_id)"
    )
    # Provider adjustments name claims by the payer's number; those kept before are found by the provider's alone.
    op.execute("alter table ingest.claims add column payer_number_hash integer")
    op.execute(
        "create index claims_payer_number on ingest.claims (payer_number_hash) where payer_number_hash is not null"
    )
    # What stands there was read by the first reader.
    op.execute("""
        alter table ingest.remittances
            add column reader_revision integer not null default 1,
            add column replay_asked_at timestamptz,
            add column balance_findings jsonb not null default '[]'
    """)
    op.execute("alter table ingest.receipts add column replay_asked boolean not null default false")
    op.execute("""
        create table ingest.quarantined_claims (
            organization_id uuid not null,
            quarantine_id uuid not null,
            remittance_id uuid not null,
            position integer not null,
            byte_offset bigint not null,
            byte_length integer not null,
            charge_amount numeric,
            findings jsonb not null,
            reader_revision integer not null,
            state text not null default 'quarantined' check (state in ('quarantined', 'released', 'reread')),
            quarantined_at timestamptz not null default now(),
            changed_at timestamptz not null default now(),
            supplied jsonb,
            supplied_by uuid,
            supplied_at timestamptz,
            reason text,
            event_id uuid,
            primary key (organization_id, quarantine_id)
        )
    """)
    op.execute(
        "create index quarantined_claims_place"
        " on ingest.quarantined_claims (organization_id, remittance_id, byte_offset)"
    )
    op.execute(
        "create index quarantined_claims_recent"
        " on ingest.quarantined_claims (quarantined_at desc, quarantine_id desc)"
    )
    op.execute("""
        create table ingest.audit_log (
            organization_id uuid not null,
            entry_id bigint generated always as identity,
            at timestamptz not null default now(),
            principal_id uuid not null,
            action text not null,
            subject_id uuid,
            detail jsonb not null default '{}',
            primary key (organization_id, entry_id)
        )
    """)
    build_wall("ingest.quarantined_claims", role=ROLE)
    build_wall("ingest.audit_log", role=ROLE, grants="select, insert")
    create_finder(
        "ingest.replays_of_receipt(p_submitter_id uuid, p_receipt_id uuid)",
        role=ROLE,
        reads=["ingest.remittances (submitter_id, receipt_id, set_ordinal, replay_asked_at)"],
        returns="table (set_ordinal integer)",
        body="""
            select set_ordinal from ingest.remittances
            where submitter_id = p_submitter_id and receipt_id = p_receipt_id and replay_asked_at is not null
        """,
    )
    create_finder(
        "ingest.count_quarantined()",
        role=ROLE,
        reads=["ingest.quarantined_claims (state)"],
        returns="bigint",
        body="select count(*) from ingest.quarantined_claims where state = 'quarantined'",
    )


def downgrade() -> None:
    op.execute("drop function ingest.count_quarantined()")
    op.execute("drop function ingest.replays_of_receipt(uuid, uuid)")
    op.execute("drop table ingest.audit_log")
    op.execute("drop table ingest.quarantined_claims")
    op.execute(f"revoke select (replay_asked_at) on ingest.remittances from {FINDER}")
    op.execute("alter table ingest.receipts drop column replay_asked")
    op.execute("""
        alter table ingest.remittances
            drop column reader_revision, drop column replay_asked_at, drop column balance_findings
    """)
    op.execute("alter table ingest.claims drop column payer_number_hash")
    op.execute(
        "alter table ingest.claims drop constraint claims_pkey,"
        " add primary key (organization_id, event_id, revision)"
    )
