"""ingest: TA1 and 999 acknowledgments."""

from alembic import op

from migrations.walls import FINDER, build_wall, create_finder

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROLE = "reprieve_ingest"


def upgrade() -> None:
    # What came before is not acknowledged afterwards; what comes from now on is due.
    op.execute("""
        alter table ingest.receipts
            add column acknowledgment text not null default 'declined'
                check (acknowledgment in ('due', 'made', 'declined', 'failed')),
            add column acknowledgment_due_at timestamptz not null default now(),
            add column acknowledgment_attempts integer not null default 0,
            add column acknowledgment_failures integer not null default 0
    """)
    op.execute("alter table ingest.receipts alter column acknowledgment set default 'due'")
    op.execute(
        "create index receipts_to_acknowledge on ingest.receipts (acknowledgment_due_at)"
        " where acknowledgment = 'due' and status in ('processed', 'refused')"
    )
    op.execute("""
        create table ingest.acknowledgments (
            submitter_id uuid not null,
            receipt_id uuid not null,
            made_at timestamptz not null,
            sets integer not null,
            sets_checked integer not null,
            cut_short text,
            verdict jsonb not null,
            primary key (submitter_id, receipt_id),
            foreign key (submitter_id, receipt_id) references ingest.receipts on delete cascade
        )
    """)
    op.execute("""
        create table ingest.acknowledgment_files (
            submitter_id uuid not null,
            receipt_id uuid not null,
            ordinal integer not null,
            kind text not null check (kind in ('TA1', '999', '997')),
            code text not null check (code in ('A', 'E', 'P', 'R')),
            control_number bigint not null,
            acknowledges text not null,
            content bytea not null,
            delivered_at timestamptz,
            primary key (submitter_id, receipt_id, ordinal),
            foreign key (submitter_id, receipt_id) references ingest.acknowledgments on delete cascade
        )
    """)
    op.execute(
        "create index acknowledgment_files_undelivered on ingest.acknowledgment_files (submitter_id, receipt_id)"
        " where delivered_at is null"
    )
    op.execute("""
        create table ingest.acknowledgment_numbers (
            submitter_id uuid primary key,
            last_number bigint not null
        )
    """)
    build_wall("ingest.acknowledgments", role=ROLE, by="submitter", grants="select, insert")
    build_wall("ingest.acknowledgment_files", role=ROLE, by="submitter")
    build_wall("ingest.acknowledgment_numbers", role=ROLE, by="submitter")
    create_finder(
        "ingest.due_acknowledgments(p_limit integer)",
        role=ROLE,
        reads=["ingest.receipts (submitter_id, receipt_id, status, acknowledgment, acknowledgment_due_at)"],
        returns="table (submitter_id uuid, receipt_id uuid)",
        body="""
            select submitter_id, receipt_id from ingest.receipts
            where acknowledgment = 'due' and status in ('processed', 'refused')
                and acknowledgment_due_at <= now()
            order by acknowledgment_due_at limit p_limit
        """,
    )


def downgrade() -> None:
    op.execute("drop function ingest.due_acknowledgments(integer)")
    op.execute("drop table ingest.acknowledgment_numbers")
    op.execute("drop table ingest.acknowledgment_files")
    op.execute("drop table ingest.acknowledgments")
    op.execute("drop index ingest.receipts_to_acknowledge")
    op.execute(f"revoke select (status) on ingest.receipts from {FINDER}")
    op.execute("""
        alter table ingest.receipts
            drop column acknowledgment, drop column acknowledgment_due_at,
            drop column acknowledgment_attempts, drop column acknowledgment_failures
    """)
