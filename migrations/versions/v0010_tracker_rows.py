"""tracker: cases without the two indexes that no query uses."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Keyed hashes fall anywhere in an index, so each case dirtied a page of both; nothing looks cases up by person.
UNUSED = {"member": "member_id_index", "patient": "patient_name_index"}


def upgrade() -> None:
    for name in UNUSED:
        op.execute(f"drop index tracker.cases_{name}")


def downgrade() -> None:
    for name, column in UNUSED.items():
        op.execute(f"create index cases_{name} on tracker.cases (organization_id, {column})")
