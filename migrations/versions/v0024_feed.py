"""tracker: case events as they were committed, for whoever catches up."""

from alembic import op

from migrations.walls import build_wall, create_finder

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"


def upgrade() -> None:
    op.execute("""
        create table tracker.feed (
            organization_id uuid not null,
            number bigint not null check (number > 0),
            recorded_at timestamptz not null default now(),
            events integer not null,
            contents bytea not null,
            primary key (organization_id, number)
        )
    """)
    op.execute("alter table tracker.feed alter column contents set storage external")
    op.execute("create index feed_recorded on tracker.feed (recorded_at)")
    build_wall("tracker.feed", role=ROLE, grants="select, insert, delete")
    # The last one stays, however old: the next number is counted from it.
    create_finder(
        "tracker.old_feed(p_before timestamptz, p_limit integer)",
        role=ROLE,
        reads=["tracker.feed (organization_id, number, recorded_at)"],
        returns="table (organization_id uuid, number bigint)",
        body="""
            select f.organization_id, f.number from tracker.feed f
            where f.recorded_at < p_before and exists (
                select 1 from tracker.feed later
                where later.organization_id = f.organization_id and later.number > f.number)
            order by f.recorded_at limit p_limit
        """,
    )


def downgrade() -> None:
    op.execute("drop function tracker.old_feed(timestamptz, integer)")
    op.execute("drop table tracker.feed")
