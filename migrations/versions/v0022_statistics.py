"""All: no statistics of columns that nothing is looked up by."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# ANALYZE comes whenever a table has grown by a tenth: of a first large file it took a fifth of what PostgreSQL did,
# most of it for arrays and amounts of which no condition speaks.
READ_ONLY_WHOLE = {
    "tracker.cases": (
        "version",
        "merged_into",
        "event_ids",
        "current_event_id",
        "current_revision",
        "current_decision_revision",
        "route",
        "recommended_action",
        "service_from",
        "charge_amount",
        "denied_amount",
        "paid_amount",
        "deadlines",
        "deadline_zones",
        "urgency_class",
        "confidence",
        "needs_human_reasons",
        "updated_at",
        "closed_at",
    ),
    **dict.fromkeys(
        (
            "ingest.claim_events_parcels",
            "triage.decisions_parcels",
            "tracker.outbox_parcels",
            "tracker.facts_parcels",
        ),
        ("payloads", "ends", "message_ids", "revisions", "types", "message_keys", "trace_parents"),
    ),
    "triage.events_bundles": ("payloads",),
    "tracker.ledger_bundles": ("payloads",),
}


def upgrade() -> None:
    _set("0")


def downgrade() -> None:
    _set("default")


def _set(target: str) -> None:
    for table, columns in READ_ONLY_WHOLE.items():
        changes = ", ".join(f"alter column {column} set statistics {target}" for column in columns)
        op.execute(f"alter table {table} {changes}")
