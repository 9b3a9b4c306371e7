"""Each revision goes down and up again over rows that the services wrote, and gives back what was there."""

from collections.abc import Iterable
from importlib.resources import files

import asyncpg
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from tests.http.test_walls import Walled, site  # noqa: F401  an organization with something of everything
from tests.support.database import Database

OURS = "('access', 'ingest', 'triage', 'tracker')"
# By names, since what was dropped and made again has other numbers and stands in another order. Left out are what older
# functions of the finder could read, and that a constraint that came back trusts what is there.
FORM = rf"""
    select 'column ' || a.attrelid::regclass || '.' || a.attname as what,
        format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || coalesce(a.attstattarget, -1)
            || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || ' ' || coalesce(a.attoptions::text, '')
            || ' ' || coalesce((select string_agg(x::text, ' ' order by x::text) from unnest(a.attacl) x
                where x::text not like 'reprieve_finder=%'), '') as form
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relkind = 'r' and c.relnamespace::regnamespace::text in {OURS} and a.attnum > 0 and not a.attisdropped
    union all
    select 'table ' || c.oid::regclass, c.relrowsecurity || ' ' || c.relforcerowsecurity || ' '
        || coalesce(c.reloptions::text, '') || ' '
        || coalesce((select string_agg(x::text, ' ' order by x::text) from unnest(c.relacl) x), '')
    from pg_class c where c.relkind = 'r' and c.relnamespace::regnamespace::text in {OURS}
    union all
    select 'index ' || indexrelid::regclass, pg_get_indexdef(indexrelid) from pg_index
    join pg_class c on c.oid = indexrelid where c.relnamespace::regnamespace::text in {OURS}
    union all
    select 'constraint ' || conrelid::regclass || ' ' || conname, replace(pg_get_constraintdef(oid), ' NOT VALID', '')
    from pg_constraint where connamespace::regnamespace::text in {OURS}
    union all
    select 'function ' || p.oid::regprocedure, regexp_replace(pg_get_functiondef(p.oid), '\s+', ' ', 'g') || ' ' || p.proowner::regrole || ' '
        || coalesce((select string_agg(x::text, ' ' order by x::text) from unnest(p.proacl) x), '')
    from pg_proc p where pronamespace::regnamespace::text in {OURS}
    union all
    select 'policy ' || schemaname || '.' || tablename || ' ' || policyname,
        cmd || ' ' || roles::text || ' ' || coalesce(qual, '') || ' ' || coalesce(with_check, '')
    from pg_policies where schemaname in {OURS}
    union all
    select 'trigger ' || tgrelid::regclass || ' ' || tgname, pg_get_triggerdef(t.oid) from pg_trigger t
    join pg_class c on c.oid = tgrelid
    where not tgisinternal and c.relnamespace::regnamespace::text in {OURS}
"""
TABLES = f"""
    select c.oid::regclass::text from pg_class c
    where c.relkind = 'r' and c.relnamespace::regnamespace::text in {OURS}
"""


async def look(connection: asyncpg.Connection) -> tuple[dict[str, str], dict[str, int]]:
    """Give the form of everything, and how many rows each table has."""
    tables = [name for (name,) in await connection.fetch(TABLES)]
    counts = " union all ".join(f"select '{name}', count(*) from {name}" for name in tables)
    return dict(await connection.fetch(FORM)), dict(await connection.fetch(counts) if counts else ())


def go_to(connection: Connection, script: ScriptDirectory, revision: str, *, up: bool) -> None:
    """Migrate as `reprieve db` does, over a connection that stays and with scripts that were read once."""

    def steps(now: str, _: MigrationContext) -> Iterable[object]:
        return script._upgrade_revs(revision, now) if up else script._downgrade_revs(revision, now)

    options = {"version_table": "reprieve_migrations", "transaction_per_migration": True, "fn": steps}
    context = MigrationContext.configure(connection, opts=options)
    with Operations.context(context):
        context.run_migrations()


async def test_each_revision_goes_down_and_up_again_over_what_the_services_wrote(
    site: Walled,  # noqa: F811
    shared_database: Database,
):
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    script = ScriptDirectory.from_config(config)
    everybody = shared_database.server.url("postgres", shared_database.name).replace("+asyncpg", "")
    looker = await asyncpg.connect(everybody, statement_cache_size=0)
    engine = create_async_engine(shared_database.owner)
    async with engine.connect() as connection:
        for one in script.walk_revisions():
            form, counts = await look(looker)
            await connection.run_sync(go_to, script, one.down_revision or "base", up=False)
            below = {name for (name,) in await looker.fetch(TABLES)}
            await connection.run_sync(go_to, script, one.revision, up=True)
            form_again, counts_again = await look(looker)

            assert form_again == form, one.revision
            kept = counts.keys() & below
            assert {name: counts_again[name] for name in kept} == {name: counts[name] for name in kept}
            await connection.run_sync(go_to, script, one.down_revision or "base", up=False)
        assert await look(looker) == ({}, {})
    await engine.dispose()
    await looker.close()
