"""ingest: where raw files are kept, the drop folder, key rotation and purging."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROLE = "reprieve_ingest"


def upgrade() -> None:
    op.execute("""
        create function access.submitters_of_installation()
        returns table (submitter_id uuid, name text)
        language sql stable security definer set search_path = access, pg_temp as $$
            select submitter_id, name from submitters order by name
        $$
    """)
    op.execute("revoke all on function access.submitters_of_installation() from public")
    op.execute(f"grant execute on function access.submitters_of_installation() to {ROLE}")
    op.execute("alter table ingest.feeds add column needs_marker boolean not null default false")
    op.execute(
        "comment on column ingest.feeds.needs_marker is"
        " 'a dropped file is complete only when its .complete or .done stands beside it'"
    )


def downgrade() -> None:
    op.execute("alter table ingest.feeds drop column needs_marker")
    op.execute("drop function access.submitters_of_installation()")
