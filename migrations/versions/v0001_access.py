"""
access: organizations, submitters, payees, principals, API keys, wrapped data keys.

Runtime roles hold no right on these tables. They call the functions below, which answer one question each.
"""

from alembic import op

from migrations.walls import FINDER, RUNTIME_ROLES, create_role, drop_role

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY_READERS = "reprieve_ingest, reprieve_tracker"
EVERYONE = ", ".join(RUNTIME_ROLES)

TABLES = """
create table access.organizations (
    organization_id uuid primary key,
    name text not null unique,
    time_zone text not null,
    wrapped_index_key bytea not null,
    created_at timestamptz not null default now()
);
create table access.submitters (
    submitter_id uuid primary key,
    name text not null unique,
    created_at timestamptz not null default now()
);
create table access.payees (
    identifier text primary key check (identifier = '*' or identifier ~ '^[0-9]{9,10}$'),
    organization_id uuid not null references access.organizations,
    created_at timestamptz not null default now()
);
comment on column access.payees.identifier is 'an NPI (10 digits), a TIN (9 digits), or * for every payee';
create table access.principals (
    principal_id uuid primary key,
    name text not null,
    role text not null check (role in
        ('submitter', 'viewer', 'biller', 'supervisor', 'auditor', 'admin', 'operator')),
    organization_id uuid references access.organizations,
    submitter_id uuid references access.submitters,
    created_at timestamptz not null default now(),
    check (case role
        when 'submitter' then submitter_id is not null and organization_id is null
        when 'operator' then submitter_id is null and organization_id is null
        else organization_id is not null and submitter_id is null end)
);
create table access.api_keys (
    prefix text primary key,
    secret_hash bytea not null check (length(secret_hash) = 32),
    principal_id uuid not null references access.principals,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
create table access.data_keys (
    organization_id uuid not null references access.organizations,
    month date not null check (extract(day from month) = 1),
    wrapped_key bytea,
    created_at timestamptz not null default now(),
    shredded_at timestamptz,
    primary key (organization_id, month),
    check ((wrapped_key is null) = (shredded_at is not null))
);
"""

FUNCTIONS = [
    (
        "access.organizations_in_scope()",
        EVERYONE + ", " + FINDER,
        """returns uuid[] language sql stable parallel safe as $$
            select coalesce(string_to_array(nullif(current_setting('reprieve.organizations', true), ''), ',')::uuid[],
                            '{}')
        $$""",
    ),
    (
        "access.submitters_in_scope()",
        EVERYONE + ", " + FINDER,
        """returns uuid[] language sql stable parallel safe as $$
            select coalesce(string_to_array(nullif(current_setting('reprieve.submitters', true), ''), ',')::uuid[],
                            '{}')
        $$""",
    ),
    (
        "access.authenticate(p_prefix text, p_secret_hash bytea)",
        EVERYONE,
        """returns table (principal_id uuid, name text, role text, organization_id uuid, submitter_id uuid)
        language plpgsql volatile security definer set search_path = access, pg_temp as $$
        begin
            update api_keys k set last_used_at = now()
            where k.prefix = p_prefix and k.secret_hash = p_secret_hash
                and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute');
            return query
                select p.principal_id, p.name, p.role, p.organization_id, p.submitter_id
                from api_keys k join principals p using (principal_id)
                where k.prefix = p_prefix and k.secret_hash = p_secret_hash and k.revoked_at is null
                    and (k.expires_at is null or k.expires_at > now());
        end $$""",
    ),
    (
        "access.resolve_payee(p_identifiers text[])",
        "reprieve_ingest",
        """returns table (organization_id uuid, time_zone text)
        language sql stable security definer set search_path = access, pg_temp as $$
            select o.organization_id, o.time_zone
            from unnest(p_identifiers || '*'::text) with ordinality as wanted(identifier, rank)
            join payees using (identifier) join organizations o using (organization_id)
            order by rank limit 1
        $$""",
    ),
    (
        "access.organizations_of_installation()",
        EVERYONE,
        """returns table (organization_id uuid, name text, time_zone text)
        language sql stable security definer set search_path = access, pg_temp as $$
            select organization_id, name, time_zone from organizations order by name
        $$""",
    ),
    (
        "access.index_key(p_organization_id uuid)",
        KEY_READERS,
        """returns bytea language sql stable security definer set search_path = access, pg_temp as $$
            select wrapped_index_key from organizations where organization_id = p_organization_id
        $$""",
    ),
    (
        "access.data_key(p_organization_id uuid, p_month date)",
        KEY_READERS,
        """returns bytea language sql stable security definer set search_path = access, pg_temp as $$
            select wrapped_key from data_keys where organization_id = p_organization_id and month = p_month
        $$""",
    ),
    (
        "access.keep_data_key(p_organization_id uuid, p_month date, p_wrapped_key bytea)",
        KEY_READERS,
        """returns bytea language plpgsql volatile security definer set search_path = access, pg_temp as $$
        begin
            insert into data_keys (organization_id, month, wrapped_key)
            values (p_organization_id, p_month, p_wrapped_key) on conflict do nothing;
            return (select wrapped_key from data_keys
                    where organization_id = p_organization_id and month = p_month);
        end $$""",
    ),
]


def upgrade() -> None:
    for role in (FINDER, *RUNTIME_ROLES):
        create_role(role)
    op.execute("create schema access")
    op.execute(f"grant usage on schema access to {EVERYONE}, {FINDER}")
    op.execute(
        "grant select on reprieve_migrations to public"
    )  # /readyz compares it with the code's own level
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    for signature, roles, definition in FUNCTIONS:
        op.execute(f"create function {signature} {definition}")
        op.execute(f"revoke all on function {signature} from public")
        op.execute(f"grant execute on function {signature} to {roles}")


def downgrade() -> None:
    op.execute("drop schema access cascade")
    for role in (FINDER, *RUNTIME_ROLES):
        drop_role(role)
