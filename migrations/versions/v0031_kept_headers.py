"""tracker: kept answers with the headers that they had, such as the version that a step left."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table tracker.idempotency add headers jsonb not null default '{}'")


def downgrade() -> None:
    op.execute("alter table tracker.idempotency drop headers")
