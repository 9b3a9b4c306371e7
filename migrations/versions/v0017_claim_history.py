"""triage: the observations of a claim key are found by it."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without organization_id, for the reason given at decisions_event.
    op.execute("create index events_claim on triage.events (claim_key)")


def downgrade() -> None:
    op.execute("drop index triage.events_claim")
