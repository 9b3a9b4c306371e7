"""ingest: feeds as records, their signing secrets, idempotency keys."""

from alembic import op

from migrations.walls import FINDER, build_wall, create_finder

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROLE = "reprieve_ingest"


def upgrade() -> None:
    op.execute("""
        alter table ingest.feeds
            add column cadence_hours integer check (cadence_hours between 1 and 8784),
            add column acknowledgment text not null default 'negative'
                check (acknowledgment in ('none', 'negative', 'all')),
            add column test_files text not null default 'separate' check (test_files in ('separate', 'refuse')),
            add column payer_aliases jsonb not null default '{}' check (jsonb_typeof(payer_aliases) = 'object'),
            add column last_duplicate_at timestamptz
    """)
    op.execute("create index receipts_feed on ingest.receipts (submitter_id, feed, received_at desc)")
    # Two slots: the secret in use, and the one that replaces it.
    op.execute("""
        create table ingest.feed_secrets (
            submitter_id uuid not null,
            feed text not null,
            slot smallint not null check (slot in (1, 2)),
            secret_id uuid not null,
            wrapped_secret bytea not null,
            created_at timestamptz not null default now(),
            primary key (submitter_id, feed, slot),
            unique (submitter_id, secret_id),
            foreign key (submitter_id, feed) references ingest.feeds
        )
    """)
    op.execute("""
        create table ingest.idempotency_keys (
            submitter_id uuid not null,
            key text not null check (length(key) between 1 and 300),
            receipt_id uuid not null,
            created_at timestamptz not null default now(),
            primary key (submitter_id, key),
            foreign key (submitter_id, receipt_id) references ingest.receipts on delete cascade
        )
    """)
    op.execute("create index idempotency_keys_old on ingest.idempotency_keys (submitter_id, created_at)")
    build_wall("ingest.feed_secrets", role=ROLE, by="submitter", grants="select, insert, update, delete")
    build_wall("ingest.idempotency_keys", role=ROLE, by="submitter", grants="select, insert, delete")
    create_finder(
        "ingest.submitters_with_feeds()",
        role=ROLE,
        reads=["ingest.feeds (submitter_id)"],
        returns="table (submitter_id uuid)",
        body="select distinct submitter_id from ingest.feeds",
    )


def downgrade() -> None:
    op.execute("drop function ingest.submitters_with_feeds()")
    op.execute(f"revoke select (submitter_id) on ingest.feeds from {FINDER}")
    op.execute("drop table ingest.idempotency_keys, ingest.feed_secrets")
    op.execute("drop index ingest.receipts_feed")
    op.execute("""
        alter table ingest.feeds drop column cadence_hours, drop column acknowledgment, drop column test_files,
            drop column payer_aliases, drop column last_duplicate_at
    """)
