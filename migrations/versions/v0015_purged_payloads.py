"""triage, tracker: payloads of what ended long ago may go."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # An empty payload is one that was purged: ids and amounts stand in columns of their own.
    op.execute("grant update (payload) on tracker.ledger to reprieve_tracker")
    op.execute("grant delete on tracker.facts_parcels to reprieve_tracker")
    op.execute("grant delete on triage.decisions_parcels to reprieve_triage")
    op.execute("alter table tracker.cases add column purged_at timestamptz")
    op.execute(
        "comment on column tracker.cases.purged_at is"
        " 'what its remittances, decisions and facts said was destroyed; ids and amounts are left'"
    )
    # `reprieve purge` works in each service's tables with that service's rights, and no others.
    for role in ("reprieve_triage", "reprieve_tracker"):
        op.execute(f"grant {role} to current_user with set true, inherit false")


def downgrade() -> None:
    # Who may become which role belongs to the cluster, where another database may need it.
    op.execute("alter table tracker.cases drop column purged_at")
    op.execute("revoke delete on triage.decisions_parcels from reprieve_triage")
    op.execute("revoke delete on tracker.facts_parcels from reprieve_tracker")
    op.execute("revoke update (payload) on tracker.ledger from reprieve_tracker")
