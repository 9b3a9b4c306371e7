"""tracker: which kinds of channels there are is said once, by the code."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table tracker.channels drop constraint channels_kind_check")


def downgrade() -> None:
    # Not valid: what is there stays, also a channel of a kind that the older release does not know.
    op.execute(
        "alter table tracker.channels add constraint channels_kind_check"
        " check (kind in ('slack_webhook', 'slack_bot', 'pagerduty', 'webhook', 'email')) not valid"
    )
