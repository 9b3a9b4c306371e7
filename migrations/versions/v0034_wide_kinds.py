"""tracker: what lists sort by stands in the index of kinds, so that it need not be looked up case by case."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

KEY = "organization_id, auth_related, state, category, priority, case_id"


def upgrade() -> None:
    op.execute("drop index tracker.cases_kind")
    op.execute(
        f"create index cases_kind on tracker.cases ({KEY}) include (is_test, opened_at, due_at, stake_cents)"
    )


def downgrade() -> None:
    op.execute("drop index tracker.cases_kind")
    op.execute(f"create index cases_kind on tracker.cases ({KEY})")
