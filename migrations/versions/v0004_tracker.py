"""tracker: the ledger of decisions, cases, people's facts, what goes out, the audit log."""

from alembic import op

from migrations.walls import build_wall, create_finder, create_outbox, store_payloads

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"


def upgrade() -> None:
    op.execute("create schema tracker")
    op.execute(f"grant usage on schema tracker to {ROLE}")
    op.execute("""
        create table tracker.ledger (
            organization_id uuid not null,
            event_id uuid not null,
            revision integer not null,
            decision_revision integer not null,
            decision_id uuid not null,
            claim_key uuid not null,
            type text not null,
            payload bytea not null,
            charge_amount numeric not null,
            denied_amount numeric not null,
            recorded_at timestamptz not null default now(),
            primary key (organization_id, event_id, revision, decision_revision)
        )
    """)
    op.execute("create index ledger_key on tracker.ledger (organization_id, claim_key)")
    # Payloads go out of line, so that the reconciliation reads narrow rows only.
    op.execute("alter table tracker.ledger set (toast_tuple_target = 128)")
    store_payloads("tracker.ledger")
    op.execute("""
        create table tracker.cases (
            organization_id uuid not null,
            case_id uuid not null,
            claim_key uuid not null,
            ordinal integer not null,
            version integer not null,
            state text not null check (state in ('open', 'reversed', 'paid', 'partly_paid', 'closed')),
            closed_reason text check (closed_reason in ('not_our_denial', 'merged', 'withdrawn')),
            merged_into uuid,
            is_test boolean not null,
            event_ids uuid[] not null,
            current_event_id uuid not null,
            current_revision integer not null,
            current_decision_revision integer not null,
            auth_related boolean not null,
            category text not null,
            route text,
            recommended_action text not null,
            payer_name text,
            payer_id text,
            claim_number text not null,
            payer_claim_number text,
            patient_name_index text,
            member_id_index text,
            service_from date,
            denied_on date not null,
            charge_amount numeric not null,
            denied_amount numeric not null,
            amount_at_stake numeric not null,
            paid_amount numeric not null default 0,
            deadlines timestamptz[] not null,
            deadline_zones text[] not null,
            next_deadline_at timestamptz,
            urgency_class text not null,
            priority smallint not null,
            confidence double precision not null,
            needs_human boolean not null,
            needs_human_reasons text[] not null,
            opened_at timestamptz not null default now(),
            updated_at timestamptz not null default now(),
            closed_at timestamptz,
            primary key (organization_id, case_id),
            unique (organization_id, claim_key, ordinal)
        )
    """)
    for name, columns in {
        "deadline": "coalesce(next_deadline_at, 'infinity'), case_id",
        "priority": "priority, case_id",
        "amount": "amount_at_stake, case_id",
        "opened": "opened_at, case_id",
        "claim_number": "upper(claim_number)",
        "payer_id": "payer_id",
        "payer_name": "lower(payer_name)",
        "member": "member_id_index",
        "patient": "patient_name_index",
    }.items():
        op.execute(f"create index cases_{name} on tracker.cases (organization_id, {columns})")
    op.execute(
        "create index cases_deadline_passed on tracker.cases (next_deadline_at) where next_deadline_at is not null"
    )
    create_outbox(
        "tracker.facts",
        role=ROLE,
        columns="case_id uuid not null, kind text not null, value text not null, note text,"
        " recorded_by uuid not null, recorded_at timestamptz not null",
    )
    op.execute("create index facts_case on tracker.facts (organization_id, case_id)")
    create_outbox("tracker.outbox", role=ROLE, grants="select, insert, update, delete")
    op.execute("""
        create table tracker.audit_log (
            organization_id uuid not null,
            entry_id bigint generated always as identity,
            at timestamptz not null default now(),
            principal_id uuid not null,
            action text not null,
            subject_id uuid,
            detail jsonb not null default '{}',
            primary key (organization_id, entry_id)
        )
    """)
    build_wall("tracker.ledger", role=ROLE, grants="select, insert")
    build_wall("tracker.cases", role=ROLE)
    build_wall("tracker.audit_log", role=ROLE, grants="select, insert")
    create_finder(
        "tracker.passed_deadlines(p_limit integer)",
        role=ROLE,
        reads=["tracker.cases (organization_id, case_id, next_deadline_at)"],
        returns="table (organization_id uuid, case_id uuid)",
        body="select organization_id, case_id from tracker.cases where next_deadline_at <= now() limit p_limit",
    )


def downgrade() -> None:
    op.execute("drop schema tracker cascade")
