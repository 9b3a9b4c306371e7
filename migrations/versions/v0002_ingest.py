"""ingest: feeds, receipts, held and released remittances, a compact row per claim read, claim events."""

from alembic import op

from migrations.walls import build_wall, create_finder, create_outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROLE = "reprieve_ingest"


def upgrade() -> None:
    op.execute("create schema ingest")
    op.execute(f"grant usage on schema ingest to {ROLE}")
    op.execute("""
        create table ingest.feeds (
            submitter_id uuid not null,
            name text not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
            created_at timestamptz not null default now(),
            primary key (submitter_id, name)
        )
    """)
    op.execute("""
        create table ingest.receipts (
            submitter_id uuid not null,
            receipt_id uuid not null,
            feed text not null,
            file_name text,
            received_by uuid not null,
            received_at timestamptz not null,
            sha256 bytea not null check (length(sha256) = 32),
            size_bytes bigint not null,
            storage_key text not null,
            wrapped_key bytea,
            status text not null default 'received'
                check (status in ('received', 'processing', 'processed', 'refused')),
            due boolean not null default true,
            due_at timestamptz not null default now(),
            attempts integer not null default 0,
            failures integer not null default 0,
            processed_at timestamptz,
            bytes_read bigint not null default 0,
            transaction_sets integer not null default 0,
            claims_read integer not null default 0,
            finding_count integer not null default 0,
            findings jsonb not null default '[]',
            refused_reason text,
            primary key (submitter_id, receipt_id),
            unique (submitter_id, sha256),
            foreign key (submitter_id, feed) references ingest.feeds
        )
    """)
    op.execute("create index receipts_due on ingest.receipts (due_at) where due")
    op.execute("create index receipts_recent on ingest.receipts (submitter_id, received_at desc, receipt_id)")
    op.execute("""
        create table ingest.held_remittances (
            submitter_id uuid not null,
            receipt_id uuid not null,
            set_ordinal integer not null,
            payee_identifiers text[] not null,
            claims_read integer not null,
            charge_amount numeric not null,
            held_at timestamptz not null default now(),
            primary key (submitter_id, receipt_id, set_ordinal),
            foreign key (submitter_id, receipt_id) references ingest.receipts
        )
    """)
    op.execute("""
        create table ingest.remittances (
            organization_id uuid not null,
            remittance_id uuid not null,
            submitter_id uuid not null,
            receipt_id uuid not null,
            feed text not null,
            set_ordinal integer not null,
            received_at timestamptz not null,
            released_at timestamptz,
            is_test boolean not null,
            truncated boolean not null default false,
            header jsonb not null,
            payer_name text,
            trace_number text,
            payment_on date,
            payment_amount numeric,
            payer_date date not null,
            provider_adjustments jsonb not null default '[]',
            claims_read integer not null default 0,
            charge_read_amount numeric not null default 0,
            paid_read_amount numeric not null default 0,
            duplicates integer not null default 0,
            duplicate_charge_amount numeric not null default 0,
            quarantined integer not null default 0,
            quarantined_charge_amount numeric not null default 0,
            finding_count integer not null default 0,
            findings jsonb not null default '[]',
            primary key (organization_id, remittance_id)
        )
    """)
    op.execute("create index remittances_receipt on ingest.remittances (receipt_id, set_ordinal)")
    op.execute(
        "create index remittances_recent on ingest.remittances (organization_id, received_at, remittance_id)"
    )
    op.execute("""
        create table ingest.claims (
            organization_id uuid not null,
            event_id uuid not null,
            revision integer not null,
            remittance_id uuid not null,
            position integer not null,
            ordinal integer not null,
            claim_key uuid not null,
            sibling_key uuid not null,
            kind text not null check (kind in ('denied', 'reversed', 'adjudicated', 'predetermination')),
            evented boolean not null,
            charge_amount numeric not null,
            paid_amount numeric not null,
            byte_offset bigint not null,
            byte_length integer not null,
            primary key (organization_id, event_id, revision)
        )
    """)
    op.execute("create index claims_key on ingest.claims (organization_id, claim_key, kind)")
    op.execute("create index claims_sibling on ingest.claims (organization_id, sibling_key, kind, position)")
    op.execute("create index claims_remittance on ingest.claims (organization_id, remittance_id, position)")
    create_outbox(
        "ingest.claim_events",
        role=ROLE,
        columns="remittance_id uuid not null, charge_amount numeric not null, denied_amount numeric not null",
    )
    op.execute("create index claim_events_remittance on ingest.claim_events (organization_id, remittance_id)")

    build_wall("ingest.feeds", role=ROLE, by="submitter")
    build_wall("ingest.receipts", role=ROLE, by="submitter")
    build_wall("ingest.held_remittances", role=ROLE, by="submitter", grants="select, insert, update, delete")
    build_wall("ingest.remittances", role=ROLE)
    build_wall("ingest.claims", role=ROLE)
    create_finder(
        "ingest.due_receipts(p_limit integer)",
        role=ROLE,
        reads=["ingest.receipts (submitter_id, receipt_id, due, due_at)"],
        returns="table (submitter_id uuid, receipt_id uuid)",
        body="""
            select submitter_id, receipt_id from ingest.receipts where due and due_at <= now()
            order by due_at limit p_limit
        """,
    )
    create_finder(
        "ingest.count_due_receipts()",
        role=ROLE,
        reads=["ingest.receipts (due)"],
        returns="bigint",
        body="select count(*) from ingest.receipts where due",
    )
    create_finder(
        "ingest.held_payees()",
        role=ROLE,
        reads=["ingest.held_remittances (submitter_id, receipt_id, payee_identifiers)"],
        returns="table (submitter_id uuid, receipt_id uuid, payee_identifiers text[])",
        body="select distinct submitter_id, receipt_id, payee_identifiers from ingest.held_remittances",
    )
    # A file's sets may have gone to several organizations, and the payees may have moved since.
    create_finder(
        "ingest.remittances_of_receipt(p_submitter_id uuid, p_receipt_id uuid)",
        role=ROLE,
        reads=["ingest.remittances (organization_id, submitter_id, receipt_id, set_ordinal)"],
        returns="table (organization_id uuid, set_ordinal integer)",
        body="""
            select organization_id, set_ordinal from ingest.remittances
            where submitter_id = p_submitter_id and receipt_id = p_receipt_id order by set_ordinal
        """,
    )
    create_finder(
        "ingest.submitters_with_receipts()",
        role=ROLE,
        reads=["ingest.receipts (submitter_id)"],
        returns="table (submitter_id uuid)",
        body="select distinct submitter_id from ingest.receipts",
    )


def downgrade() -> None:
    op.execute("drop schema ingest cascade")
