"""triage: the events and facts that it has seen, and its decisions."""

from alembic import op

from migrations.walls import build_wall, create_outbox, store_payloads

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROLE = "reprieve_triage"


def upgrade() -> None:
    op.execute("create schema triage")
    op.execute(f"grant usage on schema triage to {ROLE}")
    op.execute("""
        create table triage.events (
            organization_id uuid not null,
            event_id uuid not null,
            revision integer not null,
            claim_key uuid not null,
            type text not null,
            payload bytea not null,
            charge_amount numeric not null,
            denied_amount numeric not null,
            seen_at timestamptz not null default now(),
            primary key (organization_id, event_id, revision)
        )
    """)
    store_payloads("triage.events")
    op.execute("""
        create table triage.facts (
            organization_id uuid not null,
            fact_id uuid not null,
            claim_key uuid not null,
            payload bytea not null,
            recorded_at timestamptz not null,
            primary key (organization_id, fact_id)
        )
    """)
    op.execute("create index facts_key on triage.facts (organization_id, claim_key)")
    create_outbox(
        "triage.decisions",
        role=ROLE,
        columns="event_id uuid not null, event_revision integer not null, charge_amount numeric not null,"
        " denied_amount numeric not null, category text, auth_related boolean not null, policy_id text",
    )
    # Without organization_id on purpose. The wall's own condition on it would make this index look as good as the
    # primary key for every look-up until the table is first analysed: a scan of the organization per message.
    op.execute("create index decisions_event on triage.decisions (event_id, event_revision)")
    build_wall("triage.events", role=ROLE)
    build_wall("triage.facts", role=ROLE)


def downgrade() -> None:
    op.execute("drop schema triage cascade")
