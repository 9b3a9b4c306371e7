"""tracker: what people did about cases, the states that follow, and answers kept for repeated requests."""

from alembic import op

from migrations.walls import build_wall

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"
STATES = (
    "open",
    "in_preparation",
    "submitted",
    "information_requested",
    "approved",
    "partly_approved",
    "denied",
    "corrected_claim_sent",
    "partly_paid",
    "paid",
    "reversed",
    "closed",
)
REASONS = (
    "recovered",
    "not_permitted",
    "expired",
    "written_off",
    "not_worth_pursuing",
    "not_our_denial",
    "duplicate",
    "merged",
    "withdrawn",
)
COLUMNS = {
    "steps_count": "integer not null default 0",
    "requests": "jsonb not null default '[]'",
    "assignee_id": "uuid",
    "tags": "text[] not null default '{}'",
    "documents_checked": "text[] not null default '{}'",
    "follow_up_on": "date",
    "information_due_at": "timestamptz",
    "recovered_payer_amount": "numeric not null default 0",
    "recovered_patient_amount": "numeric not null default 0",
    "unsure_from": "timestamptz",
    "unsure_until": "timestamptz",
}


def upgrade() -> None:
    op.execute(
        "alter table tracker.cases " + ", ".join(f"add {name} {type_}" for name, type_ in COLUMNS.items())
    )
    _check(STATES, REASONS)
    _without_wall("""
        update tracker.cases set state = 'closed', closed_reason = 'recovered', recovered_payer_amount = paid_amount,
            version = version + 1
        where state = 'paid' and paid_amount >= denied_amount / 10
    """)
    op.execute("""
        create table tracker.steps (
            organization_id uuid not null,
            case_id uuid not null,
            number integer not null check (number > 0),
            step_id uuid not null,
            claim_key uuid not null,
            kind text not null,
            body jsonb not null,
            evidence uuid not null,
            made_at timestamptz not null,
            made_by uuid not null,
            made_role text not null,
            primary key (organization_id, case_id, number)
        )
    """)
    op.execute("comment on column tracker.steps.body is 'empty: its words were purged'")
    # Without organization_id: beside row-level security the planner would take any index that starts with it.
    op.execute("create index steps_claim on tracker.steps (claim_key)")
    build_wall("tracker.steps", role=ROLE, grants="select, insert")
    op.execute(f"grant update (body) on tracker.steps to {ROLE}")
    op.execute("""
        create table tracker.idempotency (
            organization_id uuid not null,
            principal_id uuid not null,
            key text not null,
            digest bytea not null,
            status smallint,
            answer bytea,
            kept_at timestamptz not null default now(),
            primary key (organization_id, principal_id, key)
        )
    """)
    op.execute("create index idempotency_kept on tracker.idempotency (kept_at)")
    build_wall("tracker.idempotency", role=ROLE, grants="select, insert, update, delete")
    op.execute("""
        create function access.works_for(p_organization uuid, p_principal uuid) returns boolean
        language sql stable security definer set search_path = access, pg_temp as $$
            select exists (select 1 from principals
                where organization_id = p_organization and principal_id = p_principal
                    and role in ('biller', 'supervisor', 'admin'))
        $$
    """)
    op.execute("revoke all on function access.works_for(uuid, uuid) from public")
    op.execute(f"grant execute on function access.works_for(uuid, uuid) to {ROLE}")


def downgrade() -> None:
    op.execute("drop function access.works_for(uuid, uuid)")
    op.execute("drop table tracker.idempotency")
    op.execute("drop table tracker.steps")
    # What people did is gone; where the remittances have the case is what the older release can say.
    _without_wall("""
        update tracker.cases set state = 'paid', closed_reason = null, version = version + 1
        where closed_reason = 'recovered'
    """)
    _without_wall("""
        update tracker.cases set state = 'open', version = version + 1
        where state not in ('open', 'reversed', 'paid', 'partly_paid', 'closed')
    """)
    _without_wall("""
        update tracker.cases set closed_reason = null, version = version + 1
        where closed_reason not in ('not_our_denial', 'merged', 'withdrawn')
    """)
    _check(("open", "reversed", "paid", "partly_paid", "closed"), ("not_our_denial", "merged", "withdrawn"))
    op.execute("alter table tracker.cases " + ", ".join(f"drop {name}" for name in COLUMNS))


def _check(states: tuple[str, ...], reasons: tuple[str, ...]) -> None:
    for column, words in {"state": states, "closed_reason": reasons}.items():
        op.execute(f"alter table tracker.cases drop constraint if exists cases_{column}_check")
        listed = ", ".join(f"'{word}'" for word in words)
        op.execute(
            f"alter table tracker.cases add constraint cases_{column}_check check ({column} in ({listed}))"
        )


def _without_wall(statement: str) -> None:
    """Forced row-level security would hide the rows from the owner too."""
    op.execute("alter table tracker.cases no force row level security")
    op.execute(statement)
    op.execute("alter table tracker.cases force row level security")
