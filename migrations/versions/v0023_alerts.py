"""tracker: what is worth an alert, what is open, who hears of it, and which deadlines passed."""

from alembic import op

from migrations.walls import build_wall

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"
SEVERITIES = "('critical', 'error', 'warning', 'info')"


def upgrade() -> None:
    op.execute("""
        create table tracker.alert_rules (
            organization_id uuid not null,
            rule_id uuid not null,
            name text not null,
            settings jsonb not null,
            only_about jsonb not null default '{}',
            enabled boolean not null,
            version integer not null default 1,
            changed_at timestamptz not null default now(),
            removed_at timestamptz,
            primary key (organization_id, rule_id)
        )
    """)
    op.execute("""
        create table tracker.alert_settings (
            organization_id uuid primary key,
            routing jsonb not null,
            calendar jsonb not null default '{}',
            version integer not null default 1,
            changed_at timestamptz not null default now()
        )
    """)
    op.execute("""
        create table tracker.silences (
            organization_id uuid not null,
            silence_id uuid not null,
            match jsonb not null,
            maintenance boolean not null,
            reason text not null check (length(reason) > 0),
            starts_at timestamptz not null,
            ends_at timestamptz not null check (ends_at > starts_at),
            made_by uuid not null,
            made_by_name text not null,
            made_at timestamptz not null default now(),
            ended_at timestamptz,
            primary key (organization_id, silence_id)
        )
    """)
    op.execute("create index silences_end on tracker.silences (organization_id, ends_at)")
    op.execute(f"""
        create table tracker.alerts (
            organization_id uuid not null,
            alert_id uuid not null,
            rule_id uuid not null,
            rule_version integer not null,
            kind text not null,
            rule_name text not null,
            subject text not null,
            tier text not null,
            severity text not null check (severity in {SEVERITIES}),
            case_id uuid,
            case_version integer,
            payer text,
            payer_id text,
            category text,
            amount numeric,
            label text,
            end_at timestamptz,
            zone text,
            opened_at timestamptz not null,
            recheck_at timestamptz,
            caught_up_at timestamptz,
            acknowledged_at timestamptz,
            acknowledged_by uuid,
            resolved_at timestamptz,
            resolved_reason text check (resolved_reason in ('gone', 'escalated', 'rule_changed')),
            primary key (organization_id, alert_id)
        )
    """)
    op.execute(
        "create unique index alerts_open on tracker.alerts (organization_id, rule_id, subject)"
        " where resolved_at is null"
    )
    op.execute(
        "create index alerts_recheck on tracker.alerts (organization_id, rule_id, recheck_at)"
        " where resolved_at is null"
    )
    op.execute(
        "create index alerts_resolved on tracker.alerts (organization_id, resolved_at)"
        " where resolved_at is not null"
    )
    op.execute(f"""
        create table tracker.alert_groups (
            organization_id uuid not null,
            channel_id uuid not null,
            group_key text not null,
            kind text not null,
            rule_name text not null,
            severity text not null check (severity in {SEVERITIES}),
            "window" text not null,
            began_at timestamptz not null,
            flush_at timestamptz not null,
            notified_at timestamptz,
            told uuid[] not null,
            primary key (organization_id, channel_id, group_key)
        )
    """)
    op.execute("""
        create table tracker.alert_marks (
            organization_id uuid not null,
            name text not null,
            marked_at timestamptz not null,
            primary key (organization_id, name)
        )
    """)
    op.execute("comment on table tracker.alert_marks is 'how far the evaluator has come'")
    op.execute("""
        create table tracker.missed_deadlines (
            organization_id uuid not null,
            case_id uuid not null,
            deadline_at timestamptz not null,
            primary key (organization_id, case_id, deadline_at)
        )
    """)
    op.execute("create index missed_deadlines_at on tracker.missed_deadlines (organization_id, deadline_at)")
    for table in ("alert_rules", "alert_settings", "silences", "alerts"):
        build_wall(f"tracker.{table}", role=ROLE)
    for table in ("alert_groups", "alert_marks", "missed_deadlines"):
        build_wall(f"tracker.{table}", role=ROLE, grants="select, insert, update, delete")
    # Nobody reads a case when its deadline passes but the sweep: what it rolls on is what was missed.
    op.execute("""
        create function tracker.note_missed_deadline() returns trigger
        language plpgsql set search_path = pg_catalog, pg_temp as $$
        begin
            insert into tracker.missed_deadlines (organization_id, case_id, deadline_at)
            values (old.organization_id, old.case_id, old.next_deadline_at) on conflict do nothing;
            return null;
        end $$
    """)
    op.execute("""
        create trigger note_missed_deadline after update of next_deadline_at on tracker.cases
        for each row when (
            old.next_deadline_at <= now() and new.next_deadline_at is distinct from old.next_deadline_at
            and new.state not in ('paid', 'reversed', 'closed') and not new.is_test)
        execute function tracker.note_missed_deadline()
    """)
    op.execute(
        "create index cases_follow_up on tracker.cases (organization_id, follow_up_on)"
        " where follow_up_on is not null"
    )
    op.execute(
        "create index cases_information_due on tracker.cases (organization_id, information_due_at)"
        " where information_due_at is not null"
    )
    op.execute("""
        create function access.organization_zones()
        returns table (organization_id uuid, time_zone text)
        language sql stable security definer set search_path = access, pg_temp as $$
            select organization_id, time_zone from organizations
        $$
    """)
    op.execute("revoke all on function access.organization_zones() from public")
    op.execute(f"grant execute on function access.organization_zones() to {ROLE}")


def downgrade() -> None:
    op.execute("drop function access.organization_zones()")
    op.execute("drop index tracker.cases_follow_up, tracker.cases_information_due")
    op.execute("drop trigger note_missed_deadline on tracker.cases")
    op.execute("drop function tracker.note_missed_deadline()")
    op.execute("""
        drop table tracker.alert_rules, tracker.alert_settings, tracker.silences, tracker.alerts,
            tracker.alert_groups, tracker.alert_marks, tracker.missed_deadlines
    """)
