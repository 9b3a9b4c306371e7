"""tracker: lists that people keep under a name."""

from alembic import op

from migrations.walls import build_wall

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"


def upgrade() -> None:
    op.execute("""
        create table tracker.views (
            organization_id uuid not null,
            view_id uuid not null default gen_random_uuid(),
            owner_id uuid not null,
            name text not null check (length(name) between 1 and 100),
            shared boolean not null,
            filters jsonb not null,
            sort text not null,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now(),
            primary key (organization_id, view_id),
            unique (organization_id, owner_id, name)
        )
    """)
    op.execute(
        "comment on column tracker.views.filters is 'as GET /v1/cases takes them; never who a patient is'"
    )
    build_wall("tracker.views", role=ROLE, grants="select, insert, update, delete")


def downgrade() -> None:
    op.execute("drop table tracker.views")
