"""triage, tracker: payloads of what ended long ago may go; triage: its audit log is a chain too."""

from alembic import op

from migrations.chains import create_chain, drop_chain

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_CHAINED = "triage.audit_log"


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
    create_chain(
        _CHAINED,
        says=("entry_id", "organization_id", "at", "principal_id", "action", "subject_id", "detail"),
        by_organization=True,
    )


def downgrade() -> None:
    # Who may become which role belongs to the cluster, where another database may need it.
    drop_chain(_CHAINED)
    op.execute("delete from access.audit_heads where log = 'triage.audit_log'")
    op.execute("alter table tracker.cases drop column purged_at")
    op.execute("revoke delete on triage.decisions_parcels from reprieve_triage")
    op.execute("revoke delete on tracker.facts_parcels from reprieve_tracker")
    op.execute("revoke update (payload) on tracker.ledger from reprieve_tracker")
