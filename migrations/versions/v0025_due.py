"""tracker: the deadline that lists compare is a column, tags are found by an index, so are people's own cases."""

from alembic import op

from migrations.walls import build_wall

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"
# Only cases that somebody works on are in it: recording a denial does not touch it.
OF_PEOPLE = {
    "assignee": "(organization_id, assignee_id, priority, case_id) where assignee_id is not null",
}


def upgrade() -> None:
    # coalesce() counts as a function that may leak, as upper() does: row-level security keeps it from the index.
    op.execute("drop index tracker.cases_deadline")
    op.execute("""
        alter table tracker.cases add column due_at timestamptz
            generated always as (coalesce(next_deadline_at, 'infinity')) stored
    """)
    op.execute("comment on column tracker.cases.due_at is 'next_deadline_at as lists compare it'")
    op.execute("create index cases_deadline on tracker.cases (organization_id, due_at, case_id)")
    for name, columns in OF_PEOPLE.items():
        op.execute(f"create index cases_{name} on tracker.cases {columns}")
    # Looking into an array is what row-level security keeps from an index too, so tags have rows of their own.
    op.execute("""
        create table tracker.case_tags (
            organization_id uuid not null,
            tag text collate "C" not null,
            case_id uuid not null,
            primary key (organization_id, tag, case_id)
        )
    """)
    build_wall("tracker.case_tags", role=ROLE, grants="select, insert, delete")
    op.execute("create index case_tags_case on tracker.case_tags (organization_id, case_id)")
    op.execute("""
        create function tracker.keep_tags() returns trigger language plpgsql
        set search_path = pg_catalog, pg_temp as $$
        begin
            delete from tracker.case_tags t
            where t.organization_id = new.organization_id and t.case_id = new.case_id and t.tag <> all (new.tags);
            insert into tracker.case_tags select new.organization_id, one, new.case_id from unnest(new.tags) as one
            on conflict do nothing;
            return null;
        end $$
    """)
    op.execute("""
        create trigger keep_tags after update on tracker.cases for each row
        when (old.tags is distinct from new.tags) execute function tracker.keep_tags()
    """)
    for table in ("tracker.cases", "tracker.case_tags"):
        op.execute(f"alter table {table} no force row level security")
    op.execute("""
        insert into tracker.case_tags
        select distinct c.organization_id, one, c.case_id from tracker.cases c cross join unnest(c.tags) as one
    """)
    for table in ("tracker.cases", "tracker.case_tags"):
        op.execute(f"alter table {table} force row level security")


def downgrade() -> None:
    op.execute("drop trigger keep_tags on tracker.cases")
    op.execute("drop function tracker.keep_tags()")
    op.execute("drop table tracker.case_tags")
    for name in OF_PEOPLE:
        op.execute(f"drop index tracker.cases_{name}")
    op.execute("drop index tracker.cases_deadline")
    op.execute("alter table tracker.cases drop column due_at")
    op.execute(
        "create index cases_deadline on tracker.cases"
        " (organization_id, coalesce(next_deadline_at, 'infinity'), case_id)"
    )
