"""tracker: alert channels, the notifications that wait for them, and every attempt to deliver one."""

from alembic import op

from migrations.walls import build_wall, create_finder

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"


def upgrade() -> None:
    op.execute("""
        create table tracker.channels (
            organization_id uuid not null,
            channel_id uuid not null,
            name text not null check (length(name) between 1 and 100),
            kind text not null check (kind in ('slack_webhook', 'slack_bot', 'pagerduty', 'webhook', 'email')),
            settings jsonb not null,
            sealed_secret bytea,
            rate_per_minute integer check (rate_per_minute > 0),
            state text not null default 'active' check (state in ('active', 'disabled')),
            disabled_reason text,
            failures integer not null default 0,
            failing_since timestamptz,
            last_failure text,
            paused_until timestamptz,
            delivered_at timestamptz,
            created_at timestamptz not null default now(),
            changed_at timestamptz not null default now(),
            primary key (organization_id, channel_id),
            unique (organization_id, name)
        )
    """)
    op.execute(
        "comment on column tracker.channels.sealed_secret is"
        " 'wrapped by the master key: a key of a month would be shredded with its month'"
    )
    op.execute(
        "comment on column tracker.channels.paused_until is 'its circuit breaker: nothing is tried before'"
    )
    op.execute("""
        create table tracker.notifications (
            organization_id uuid not null,
            notification_id uuid not null,
            position bigint generated always as identity,
            channel_id uuid not null,
            group_key text not null,
            dedup_key text not null check (length(dedup_key) between 1 and 255),
            kind text not null check (kind in ('firing', 'update', 'resolved', 'digest', 'test')),
            severity text not null check (severity in ('critical', 'error', 'warning', 'info')),
            content jsonb not null,
            state text not null default 'due' check (state in ('due', 'sent', 'rejected', 'superseded')),
            due_at timestamptz not null default now(),
            attempts integer not null default 0,
            leased_until timestamptz,
            last_outcome text,
            remote_ref text,
            created_at timestamptz not null default now(),
            sent_at timestamptz,
            primary key (organization_id, notification_id),
            foreign key (organization_id, channel_id) references tracker.channels
        )
    """)
    op.execute("create index notifications_due on tracker.notifications (due_at) where state = 'due'")
    # In the order in which they were written: one of a group never overtakes an earlier one.
    op.execute("""
        create index notifications_waiting on tracker.notifications
            (organization_id, channel_id, group_key, position) where state = 'due'
    """)
    op.execute("""
        create index notifications_told on tracker.notifications (organization_id, channel_id, dedup_key, position)
            where remote_ref is not null
    """)
    op.execute(
        "create index notifications_new on tracker.notifications (organization_id, channel_id, position)"
    )
    op.execute("create index notifications_old on tracker.notifications (created_at) where state <> 'due'")
    op.execute("""
        create table tracker.delivery_attempts (
            organization_id uuid not null,
            notification_id uuid not null,
            attempt integer not null,
            channel_id uuid not null,
            begun_at timestamptz not null,
            ended_at timestamptz not null default now(),
            outcome text not null check (outcome in ('delivered', 'try_later', 'rejected')),
            status integer,
            reason text,
            primary key (organization_id, notification_id, attempt),
            foreign key (organization_id, notification_id) references tracker.notifications on delete cascade
        )
    """)
    op.execute(
        "comment on table tracker.delivery_attempts is"
        " 'append-only; a number that is missing is an attempt whose process died'"
    )
    op.execute(
        "create index delivery_attempts_channel on tracker.delivery_attempts"
        " (organization_id, channel_id, ended_at)"
    )
    build_wall("tracker.channels", role=ROLE)
    build_wall("tracker.notifications", role=ROLE, grants="select, insert, update, delete")
    # What goes away goes with its notification.
    build_wall("tracker.delivery_attempts", role=ROLE, grants="select, insert")
    seen = "organization_id, notification_id, channel_id, group_key, position, state, due_at, leased_until, created_at"
    reads = [
        f"tracker.notifications ({seen})",
        "tracker.channels (organization_id, channel_id, state, paused_until, failing_since)",
    ]
    create_finder(
        "tracker.due_notifications(p_limit integer)",
        role=ROLE,
        reads=reads,
        returns="table (organization_id uuid, channel_id uuid, notification_id uuid)",
        # The oldest of every channel first, so that one with thousands waiting hides no other.
        body="""
            select d.organization_id, d.channel_id, d.notification_id from (
                select n.organization_id, n.channel_id, n.notification_id, n.due_at,
                    row_number() over (partition by n.organization_id, n.channel_id order by n.due_at, n.position)
                        as place
                from tracker.notifications n
                join tracker.channels c using (organization_id, channel_id)
                where n.state = 'due' and n.due_at <= now() and coalesce(n.leased_until, '-infinity') <= now()
                    and c.state = 'active' and coalesce(c.paused_until, '-infinity') <= now()
                    and not exists (
                        select 1 from tracker.notifications e
                        where e.organization_id = n.organization_id and e.channel_id = n.channel_id
                            and e.group_key = n.group_key and e.state = 'due' and e.position < n.position)
            ) as d
            order by d.place, d.due_at
            limit p_limit
        """,
    )
    create_finder(
        "tracker.old_notifications(p_before timestamptz, p_limit integer)",
        role=ROLE,
        reads=reads,
        returns="table (organization_id uuid, notification_id uuid)",
        body="""
            select organization_id, notification_id from tracker.notifications
            where state <> 'due' and created_at < p_before
            limit p_limit
        """,
    )
    create_finder(
        "tracker.waiting_notifications()",
        role=ROLE,
        reads=reads,
        returns="table (waiting bigint, oldest_due_at timestamptz, failing bigint, disabled bigint)",
        body="""
            select count(n.notification_id), min(n.due_at),
                (select count(*) from tracker.channels where failing_since is not null and state = 'active'),
                (select count(*) from tracker.channels where state = 'disabled')
            from tracker.notifications n where n.state = 'due'
        """,
    )


def downgrade() -> None:
    for function in (
        "waiting_notifications()",
        "old_notifications(timestamptz, integer)",
        "due_notifications(integer)",
    ):
        op.execute(f"drop function tracker.{function}")
    op.execute("drop table tracker.delivery_attempts, tracker.notifications, tracker.channels")
