"""tracker: what alerts leave behind goes when it is old enough."""

from alembic import op

from migrations.walls import create_finder

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"
TABLES = "tracker.alerts, tracker.silences"


NOTIFICATIONS = "tracker.notifications (organization_id, notification_id, state, due_at, created_at)"
CHANNELS = "tracker.channels (organization_id, channel_id, state, paused_until, failing_since)"
WAITING = """
    select count(n.notification_id), min(n.due_at),
        (select count(*) from tracker.channels where failing_since is not null and state = 'active'),{paused}
        (select count(*) from tracker.channels where state = 'disabled')
    from tracker.notifications n where n.state = 'due'
"""
PAUSED = "(select count(*) from tracker.channels where paused_until > now() and state = 'active'),"


def upgrade() -> None:
    op.execute(f"grant delete on {TABLES} to {ROLE}")
    op.execute("""
        create function access.organization_retentions()
        returns table (organization_id uuid, retention_days integer)
        language sql stable security definer set search_path = access, pg_temp as $$
            select organization_id, retention_days from organizations
        $$
    """)
    op.execute("revoke all on function access.organization_retentions() from public")
    op.execute(f"grant execute on function access.organization_retentions() to {ROLE}")
    # Each organization has an end of its own now: nobody looks over all walls for what is old.
    op.execute("drop function tracker.old_notifications(timestamptz, integer)")
    op.execute("drop index tracker.notifications_old")
    op.execute(
        "create index notifications_old on tracker.notifications (organization_id, created_at)"
        " where state <> 'due'"
    )
    op.execute("drop function tracker.waiting_notifications()")
    create_finder(
        "tracker.waiting_notifications()",
        role=ROLE,
        reads=[NOTIFICATIONS, CHANNELS],
        returns="table (waiting bigint, oldest_due_at timestamptz, failing bigint, paused bigint, disabled bigint)",
        body=WAITING.format(paused=PAUSED),
    )


def downgrade() -> None:
    op.execute("drop function tracker.waiting_notifications()")
    create_finder(
        "tracker.waiting_notifications()",
        role=ROLE,
        reads=[NOTIFICATIONS, CHANNELS],
        returns="table (waiting bigint, oldest_due_at timestamptz, failing bigint, disabled bigint)",
        body=WAITING.format(paused=""),
    )
    op.execute("drop index tracker.notifications_old")
    op.execute("create index notifications_old on tracker.notifications (created_at) where state <> 'due'")
    create_finder(
        "tracker.old_notifications(p_before timestamptz, p_limit integer)",
        role=ROLE,
        reads=[NOTIFICATIONS],
        returns="table (organization_id uuid, notification_id uuid)",
        body="""
            select organization_id, notification_id from tracker.notifications
            where state <> 'due' and created_at < p_before
            limit p_limit
        """,
    )
    op.execute("drop function access.organization_retentions()")
    op.execute(f"revoke delete on {TABLES} from {ROLE}")
