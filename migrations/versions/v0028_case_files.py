"""tracker: files of cases, and sealed bytes that belong to none (any more, or yet)."""

from alembic import op

from migrations.walls import build_wall, create_finder

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

ROLE = "reprieve_tracker"


def upgrade() -> None:
    op.execute("""
        create table tracker.files (
            organization_id uuid not null,
            file_id uuid not null,
            case_id uuid not null,
            claim_key uuid not null,
            storage_key text not null,
            wrapped_key bytea,
            sealed_name text,
            media_type text not null,
            size_bytes bigint not null check (size_bytes > 0),
            sha256 bytea not null,
            attached_at timestamptz not null,
            attached_by uuid not null,
            removed_at timestamptz,
            shredded_at timestamptz,
            primary key (organization_id, file_id),
            check ((wrapped_key is null) = (shredded_at is not null)),
            check (removed_at is null or shredded_at is not null)
        )
    """)
    op.execute("comment on column tracker.files.wrapped_key is 'null: removed by a person, or purged'")
    # Without organization_id: beside row-level security the planner would take any index that starts with it.
    op.execute("create index files_claim on tracker.files (claim_key)")
    build_wall("tracker.files", role=ROLE, grants="select, insert")
    op.execute(f"grant update (wrapped_key, sealed_name, removed_at, shredded_at) on tracker.files to {ROLE}")
    op.execute("""
        create table tracker.loose_objects (
            organization_id uuid not null,
            storage_key text not null,
            due_at timestamptz not null,
            primary key (organization_id, storage_key)
        )
    """)
    op.execute("create index loose_objects_due on tracker.loose_objects (due_at)")
    build_wall("tracker.loose_objects", role=ROLE, grants="select, insert, update, delete")
    create_finder(
        "tracker.due_loose_objects(p_limit integer)",
        role=ROLE,
        reads=["tracker.loose_objects (organization_id, storage_key, due_at)"],
        returns="table (organization_id uuid, storage_key text)",
        body="""
            select organization_id, storage_key from tracker.loose_objects
            where due_at <= now() order by due_at limit p_limit
        """,
    )


def downgrade() -> None:
    op.execute("drop function tracker.due_loose_objects(integer)")
    op.execute("drop table tracker.loose_objects")
    op.execute("drop table tracker.files")
