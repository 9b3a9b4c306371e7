"""
The parts that every schema's migration repeats: roles, row-level security, outbox tables.

Walls. Tables of an organization carry `organization_id` first in every unique key. Row-level security
is forced, so the owner of the table sees no more than anybody else: a transaction sees the
organizations that it names in the setting `reprieve.organizations`, and none when it names none.

Finding due work has to look over all walls. That is left to functions that run as the role
`reprieve_finder`, which nobody can log in as; they return ids and sizes, never contents.
"""

from collections.abc import Sequence

from alembic import op

FINDER = "reprieve_finder"
RUNTIME_ROLES = ("reprieve_ingest", "reprieve_triage", "reprieve_tracker")


def create_role(role: str) -> None:
    """Make a role that cannot log in yet; roles belong to the cluster, so another database may have made it."""
    op.execute(f"""
        do $$ begin
            create role {role} nologin nosuperuser nobypassrls;
        exception when duplicate_object or unique_violation then null;
        end $$
    """)


def drop_role(role: str) -> None:
    """Drop a role unless another database of the cluster still uses it."""
    op.execute(f"""
        do $$ begin
            drop role if exists {role};
        exception when dependent_objects_still_exist then null;
        end $$
    """)


def build_wall(
    table: str, *, role: str, grants: str = "select, insert, update", by: str = "organization"
) -> None:
    """
    Force row-level security on `table` for the column `<by>_id` and let `role` in.

    `by` is `organization`, or `submitter` for what belongs to a clearinghouse.
    """
    scope = f"{by}_id = any ((select access.{by}s_in_scope())::uuid[])"
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(f"create policy wall on {table} using ({scope}) with check ({scope})")
    op.execute(f"create policy finder on {table} for select to {FINDER} using (true)")
    op.execute(f"grant {grants} on {table} to {role}")
    seed_statistics(table)


def seed_statistics(table: str) -> None:
    """
    Tell the planner what a table is like before its first ANALYZE: few organizations, otherwise unique ids,
    and of an outbox many rows open and few parked.

    Without it, each index that starts with organization_id looks as good as the primary key, and the first
    large file is looked up by reading the whole organization for every row. Needs PostgreSQL 18; older ones
    do without until autovacuum has come by.
    """
    schema, name = table.split(".")
    op.execute(f"""
        do $$ begin
            if current_setting('server_version_num')::integer >= 180000 then
                perform pg_restore_attribute_stats(
                    'schemaname', '{schema}', 'relname', '{name}', 'attname', attname::text, 'inherited', false,
                    'null_frac', case attname when 'settled_at' then 0.5 when 'parked_at' then 0.99 else 0 end::real,
                    'avg_width', case atttypid when 'uuid'::regtype then 16 else 8 end,
                    'n_distinct', case when attname in ('organization_id', 'submitter_id') then 4 else -1 end::real)
                from pg_attribute
                where attrelid = '{table}'::regclass and not attisdropped
                    and (atttypid = 'uuid'::regtype or attname in ('settled_at', 'parked_at', 'parcel_id'));
            end if;
        end $$
    """)


def create_finder(signature: str, *, role: str, body: str, returns: str, reads: Sequence[str]) -> None:
    """
    Create a function that looks over all walls and returns ids only.

    `signature` is `schema.name(args)`, `reads` the columns it may see, as `schema.table (column, …)`.
    """
    schema = signature.split(".", 1)[0]
    name_and_types = signature.split(" default ", 1)[0] if " default " in signature else signature
    op.execute(f"grant usage on schema {schema} to {FINDER}")
    for columns in reads:
        table, _, names = columns.partition(" ")
        op.execute(f"grant select {names} on {table} to {FINDER}")
    op.execute(
        f"create function {signature} returns {returns} language sql stable security definer "
        f"set search_path = pg_catalog, pg_temp as $finder$ {body} $finder$"
    )
    op.execute(f"revoke all on function {name_and_types} from public")
    op.execute(f"grant execute on function {name_and_types} to {role}")
    # To hand the function over, its owner must be able to become the finder for a moment, without inheriting from it.
    op.execute(f"grant create on schema {schema} to {FINDER}")
    op.execute(f"grant {FINDER} to current_user with set true, inherit false")
    op.execute(f"alter function {name_and_types} owner to {FINDER}")
    op.execute(f"revoke {FINDER} from current_user")
    op.execute(f"revoke create on schema {schema} from {FINDER}")


OUTBOX_COLUMNS = """
    organization_id uuid not null,
    message_id uuid not null,
    revision integer not null,
    type text not null,
    topic text not null,
    message_key uuid not null,
    shard smallint not null,
    position bigint generated always as identity,
    payload bytea not null,
    size integer not null,
    trace_parent text,
    created_at timestamptz not null default now(),
    due_at timestamptz not null default now(),
    attempts smallint not null default 0,
    settled_at timestamptz,
    parked_at timestamptz,
    parked_reason text,
    primary key (organization_id, message_id, revision)
"""
"""
What shared.kafka.outbox needs of a table whose rows wait to be settled.

A row is staged while due_at is infinity, due when due_at has passed, in flight once attempts > 0, and done
when settled_at or parked_at is set. Settling stamps; nothing is deleted before its retention ends.
"""


def store_payloads(table: str) -> None:
    """
    Keep pglz away from the payloads: it costs four times what writing the row costs.

    lz4 where the server was built with it, as the servers of distributions and clouds are; else uncompressed.
    """
    op.execute(f"""
        do $$ begin
            alter table {table} alter column payload set compression lz4;
        exception when feature_not_supported then
            alter table {table} alter column payload set storage external;
        end $$
    """)


def create_outbox(
    table: str, *, role: str, columns: str = "", grants: str = "select, insert, update"
) -> None:
    """Create an outbox table, its wall, its indexes and the functions that find its due rows."""
    schema, name = table.split(".")
    op.execute(f"create table {table} ({OUTBOX_COLUMNS}{', ' + columns if columns else ''})")
    # Payloads go out of line, so that the stamps rewrite narrow rows only.
    op.execute(f"alter table {table} set (toast_tuple_target = 128, fillfactor = 70)")
    store_payloads(table)
    open_row = "settled_at is null and parked_at is null"
    # Two lanes. Waiting rows may be millions while the consumer is down, and they were due long before the rows
    # in flight are due again: in one lane they would stand in front of the repetitions that free the window.
    op.execute(
        f"create index {name}_due on {table} (shard, due_at, position) where attempts = 0 and {open_row}"
    )
    op.execute(
        f"create index {name}_in_flight on {table} (shard, due_at, position) include (size)"
        f" where attempts > 0 and {open_row}"
    )
    op.execute(
        f"create index {name}_parked on {table} (parked_at) where parked_at is not null and settled_at is null"
    )
    build_wall(table, role=role, grants=grants)
    seen = "organization_id, message_id, revision, shard, position, size, due_at, attempts, settled_at, parked_at"
    reads = [f"{table} ({seen}, created_at)"]
    # A row that was sent before keeps its slot in the window; new rows must fit into what is left. A single
    # message larger than the window may go when nothing else is in flight. No shard is asked for much more than
    # its share: with a long backlog, sorting a whole batch for each would cost more than sending it.
    t_open = "t.settled_at is null and t.parked_at is null"
    share = "greatest(50, 2 * p_limit / cardinality(p_shards))"
    create_finder(
        f"{schema}.due_{name}(p_shards smallint[], p_window_bytes bigint, p_limit integer)",
        role=role,
        reads=reads,
        returns="table (organization_id uuid, message_id uuid, revision integer)",
        body=f"""
            select due.organization_id, due.message_id, due.revision
            from unnest(p_shards) as wanted(shard)
            cross join lateral (
                select coalesce(sum(t.size), 0) as bytes from {table} t
                where t.shard = wanted.shard and t.attempts > 0 and {t_open}
            ) as in_flight
            cross join lateral (
                select * from (
                    select t.organization_id, t.message_id, t.revision, t.due_at, t.position, 0 as lane
                    from {table} t
                    where t.shard = wanted.shard and t.attempts > 0 and t.due_at <= now() and {t_open}
                    order by t.due_at, t.position
                    limit {share}
                ) as again
                union all
                select n.organization_id, n.message_id, n.revision, n.due_at, n.position, 1
                from (
                    select w.*, sum(w.size) over (order by w.due_at, w.position) as bytes
                    from (
                        select t.organization_id, t.message_id, t.revision, t.size, t.due_at, t.position
                        from {table} t
                        where t.shard = wanted.shard and t.attempts = 0 and t.due_at <= now() and {t_open}
                        order by t.due_at, t.position
                        limit {share}
                    ) w
                ) n
                where n.bytes <= p_window_bytes - in_flight.bytes or (in_flight.bytes = 0 and n.bytes = n.size)
            ) as due
            order by due.lane, due.due_at, due.position
            limit p_limit
        """,
    )
    create_finder(
        f"{schema}.in_flight_{name}(p_shards smallint[])",
        role=role,
        reads=reads,
        returns="table (organization_id uuid, message_id uuid, revision integer)",
        body=f"""
            select organization_id, message_id, revision from {table}
            where shard = any (p_shards) and attempts > 0 and {open_row}
        """,
    )
    create_finder(
        f"{schema}.backlog_{name}()",
        role=role,
        reads=reads,
        returns="table (state text, messages bigint, bytes bigint, oldest_created_at timestamptz)",
        body=f"""
            select state, count(*), sum(size)::bigint, min(created_at) from (
                select 'parked' as state, size, created_at from {table}
                where parked_at is not null and settled_at is null
                union all
                select 'in_flight', size, created_at from {table} where attempts > 0 and {open_row}
                union all
                select case when due_at = 'infinity' then 'staged' else 'waiting' end, size, created_at
                from {table} where attempts = 0 and {open_row}
            ) as rows group by state
        """,
    )
