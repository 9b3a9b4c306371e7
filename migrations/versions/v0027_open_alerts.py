"""tracker: whether a rule has an alert open for a case is found by an index."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The one on subject is text: comparing it with an id calls a function that row-level security keeps from it.
    op.execute(
        "create index alerts_case on tracker.alerts (organization_id, case_id) where resolved_at is null"
    )


def downgrade() -> None:
    op.execute("drop index tracker.alerts_case")
