"""tracker: in which role a fact was stated; triage: the entries of its audit log hang on each other."""

from alembic import op

from migrations.chains import create_chain, drop_chain

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_SAYS = ("entry_id", "organization_id", "at", "principal_id", "action", "subject_id", "detail")


def upgrade() -> None:
    op.execute("alter table tracker.facts add column recorded_role text")
    op.execute("comment on column tracker.facts.recorded_role is 'null: stated before roles were kept'")
    create_chain("triage.audit_log", says=_SAYS, by_organization=True)


def downgrade() -> None:
    drop_chain("triage.audit_log")
    op.execute("alter table tracker.facts drop column recorded_role")
