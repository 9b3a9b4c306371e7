"""ingest: quarantined claims that a person dismissed."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "ingest.quarantined_claims"
STATES = "'quarantined', 'released', 'reread'"


def upgrade() -> None:
    _allow(f"{STATES}, 'dismissed'")
    op.execute(f"alter table {TABLE} add column dismissed_by uuid, add column dismissed_at timestamptz")


def downgrade() -> None:
    # They wait again, with the reason; the owner sees rows only where the wall is not forced.
    op.execute(f"alter table {TABLE} no force row level security")
    op.execute(f"update {TABLE} set state = 'quarantined' where state = 'dismissed'")
    op.execute(f"alter table {TABLE} force row level security")
    op.execute(f"alter table {TABLE} drop column dismissed_by, drop column dismissed_at")
    _allow(STATES)


def _allow(states: str) -> None:
    op.execute(f"""
        alter table {TABLE} drop constraint quarantined_claims_state_check,
            add constraint quarantined_claims_state_check check (state in ({states}))
    """)
