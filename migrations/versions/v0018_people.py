"""access: people who sign in at an issuer of tokens."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_FUNCTION = "access.authenticate_person(p_issuer text, p_subject text)"


def upgrade() -> None:
    op.execute("""
        create table access.people (
            issuer text not null,
            subject text not null,
            principal_id uuid not null references access.principals,
            added_at timestamptz not null default now(),
            removed_at timestamptz,
            primary key (issuer, subject)
        )
    """)
    op.execute("comment on table access.people is 'whom a token may speak of, and who that is here'")
    op.execute(f"""
        create function {_FUNCTION}
        returns table (principal_id uuid, name text, role text, organization_id uuid, submitter_id uuid)
        language sql stable security definer set search_path = access, pg_temp as $$
            select p.principal_id, p.name, p.role, p.organization_id, p.submitter_id
            from people join principals p using (principal_id)
            where issuer = p_issuer and subject = p_subject and removed_at is null
        $$
    """)
    op.execute(f"revoke all on function {_FUNCTION} from public")
    op.execute(f"grant execute on function {_FUNCTION} to reprieve_ingest, reprieve_triage, reprieve_tracker")


def downgrade() -> None:
    op.execute(f"drop function {_FUNCTION}")
    op.execute("drop table access.people")
