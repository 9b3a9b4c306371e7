"""access, ingest, tracker: the entries of the audit logs hang on each other."""

from migrations.chains import create_chain, create_heads, drop_chain, drop_heads

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_OF_ORGANIZATIONS = ("ingest.audit_log", "tracker.audit_log")
_OF_THE_INSTALLATION = "access.operations_log"


def upgrade() -> None:
    create_heads()
    for log in _OF_ORGANIZATIONS:
        create_chain(
            log,
            says=("entry_id", "organization_id", "at", "principal_id", "action", "subject_id", "detail"),
            by_organization=True,
        )
    create_chain(
        _OF_THE_INSTALLATION, says=("position", "at", "done_by", "action", "detail"), by_organization=False
    )


def downgrade() -> None:
    for log in (*_OF_ORGANIZATIONS, _OF_THE_INSTALLATION):
        drop_chain(log)
    drop_heads()
