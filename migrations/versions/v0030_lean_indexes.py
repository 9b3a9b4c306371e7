"""tracker: indexes of cases that cost less with every case, and serve the same lists."""

from alembic import op

from migrations.walls import create_finder

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"
# Keyed hashes that are compared whole: a hash index has neither the 33 characters nor the organization in it, whose
# key they were made with. Nor may anybody ask by one that they did not make.
BLIND = {"member": "member_id_index", "patient": "patient_name_index"}


def upgrade() -> None:
    for name, column in BLIND.items():
        op.execute(f"drop index tracker.cases_{name}")
        op.execute(f"create index cases_{name} on tracker.cases using hash ({column})")
    # Most cases have ended or were never ours, so no clock matters: they follow the others by their ids.
    op.execute("drop index tracker.cases_deadline")
    op.execute(
        "create index cases_deadline on tracker.cases (organization_id, due_at, case_id)"
        " where due_at < 'infinity'"
    )
    # The sweep looks into the same index, from one organization to the next.
    op.execute("drop function tracker.passed_deadlines(integer)")
    op.execute("drop index tracker.cases_deadline_passed")
    create_finder(
        "tracker.passed_deadlines(p_limit integer)",
        role=ROLE,
        reads=["tracker.cases (organization_id, case_id, due_at)"],
        returns="table (organization_id uuid, case_id uuid)",
        body="""
            with recursive owners(organization_id) as (
                (
                    select c.organization_id from tracker.cases c where c.due_at < 'infinity'
                    order by c.organization_id limit 1
                )
                union all
                select (
                    select c.organization_id from tracker.cases c
                    where c.organization_id > owners.organization_id and c.due_at < 'infinity'
                    order by c.organization_id limit 1
                ) from owners where owners.organization_id is not null
            )
            select owners.organization_id, passed.case_id from owners cross join lateral (
                select c.case_id from tracker.cases c
                where c.organization_id = owners.organization_id and c.due_at <= now() and c.due_at < 'infinity'
                limit p_limit
            ) as passed limit p_limit
        """,
    )


def downgrade() -> None:
    op.execute("drop function tracker.passed_deadlines(integer)")
    op.execute(
        "create index cases_deadline_passed on tracker.cases (next_deadline_at) where next_deadline_at is not null"
    )
    op.execute("drop index tracker.cases_deadline")
    op.execute("create index cases_deadline on tracker.cases (organization_id, due_at, case_id)")
    for name, column in BLIND.items():
        op.execute(f"drop index tracker.cases_{name}")
        op.execute(f"create index cases_{name} on tracker.cases (organization_id, {column})")
    create_finder(
        "tracker.passed_deadlines(p_limit integer)",
        role=ROLE,
        reads=["tracker.cases (organization_id, case_id, next_deadline_at)"],
        returns="table (organization_id uuid, case_id uuid)",
        body="select organization_id, case_id from tracker.cases where next_deadline_at <= now() limit p_limit",
    )
