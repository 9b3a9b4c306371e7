"""tracker: the services that are denied besides the leading one, where a case has more than one."""

from alembic import op

from migrations.walls import build_wall

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"


def upgrade() -> None:
    op.execute("""
        alter table tracker.cases
            add column further_service_codes text[] collate "C" not null default '{}',
            alter column further_service_codes set statistics 0
    """)
    op.execute(
        "comment on column tracker.cases.further_service_codes is 'of the other denied lines, as in case_services'"
    )
    # Looking into an array is what row-level security keeps from an index, and most cases are about one service.
    op.execute("""
        create table tracker.case_services (
            organization_id uuid not null,
            service_code text collate "C" not null,
            case_id uuid not null,
            primary key (organization_id, service_code, case_id)
        )
    """)
    build_wall("tracker.case_services", role=ROLE, grants="select, insert, delete")
    op.execute("create index case_services_case on tracker.case_services (case_id)")


def downgrade() -> None:
    op.execute("drop table tracker.case_services")
    op.execute("alter table tracker.cases drop column further_service_codes")
