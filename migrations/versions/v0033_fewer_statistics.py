"""All: no statistics of ids, which are known to be unique, nor of what no list compares."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

# ANALYZE sorts a sample of each column. While a first large file comes in it was a sixth of what PostgreSQL did, half
# of it for tracker.cases. build_wall() has told the planner what ids are like, and that stays.
UNIQUE = {
    "ingest.claims": ("event_id", "claim_key", "sibling_key"),
    "ingest.claim_events": ("message_id", "parcel_id"),
    "triage.events": ("event_id", "claim_key", "bundle_id"),
    "triage.decisions": ("message_id", "event_id", "parcel_id"),
    "tracker.ledger": ("event_id", "decision_id", "claim_key", "bundle_id"),
    "tracker.cases": ("case_id", "claim_key"),
}
NOT_COMPARED = {
    "ingest.claims": ("ordinal", "charge_amount", "paid_amount", "byte_offset", "byte_length"),
    "ingest.claim_events": ("size", "place", "charge_amount", "denied_amount"),
    "triage.events": ("charge_amount", "denied_amount", "place"),
    "triage.decisions": ("size", "place", "charge_amount", "denied_amount"),
    "tracker.ledger": ("charge_amount", "denied_amount", "size", "place"),
    "tracker.cases": (
        "claim_number",  # claim_key says the same
        "payer_name",  # payer is what is compared
        "payer_id",
        "requests",
        "tags",  # tracker.case_tags
        "documents_checked",
        "recovered_payer_amount",
        "recovered_patient_amount",
    ),
}


def upgrade() -> None:
    # Older servers were told nothing: they have to look.
    _set("0", when="current_setting('server_version_num')::integer >= 180000")


def downgrade() -> None:
    _set("default", when="true")


def _set(target: str, *, when: str) -> None:
    for table, ids in UNIQUE.items():
        columns = (*ids, *NOT_COMPARED[table])
        changes = ", ".join(f"alter column {column} set statistics {target}" for column in columns)
        op.execute(f"do $$ begin if {when} then alter table {table} {changes}; end if; end $$")
