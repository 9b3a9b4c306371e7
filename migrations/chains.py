"""
Logs whose entries hang on each other: whoever changes, removes, moves or puts in one is found out.

Each entry has its number in its chain, without gaps, and the SHA-256 of the entry before it together with what
it says itself. A trigger writes both, whoever inserts; how far a chain reached stands in access.audit_heads, which no
runtime role can touch, so that its last entries cannot be removed unseen either. `services/audit.py` reads it all
again. There is one chain per organization, and one for a log that belongs to the installation.
"""

from collections.abc import Sequence

from alembic import op

INSTALLATION = "'00000000-0000-0000-0000-000000000000'::uuid"
"""Whose chain it is where a log belongs to no organization."""


def create_heads() -> None:
    """Create the table of the chains' ends."""
    op.execute("""
        create table access.audit_heads (
            log text not null,
            organization_id uuid not null,
            entries bigint not null,
            hash bytea not null,
            primary key (log, organization_id)
        )
    """)
    op.execute("comment on table access.audit_heads is 'how far each chain of audit entries reached'")


def drop_heads() -> None:
    op.execute("drop table access.audit_heads")


def create_chain(log: str, *, says: Sequence[str], by_organization: bool) -> None:
    """
    Chain the log `schema.name`, with the entries that are there already, in the order of the first of `says`.

    `says` are the columns that are hashed after the entry's number, each as text, nothing for null, an instant as
    microseconds since 1970; \\x1f stands between them.
    """
    schema, name = log.split(".")
    owner = "entry.organization_id" if by_organization else INSTALLATION
    unique = "organization_id, chain_position" if by_organization else "chain_position"
    op.execute(f"alter table {log} add column chain_position bigint, add column chain_hash bytea")
    words = ", ".join(f"coalesce({_text(column)}, '')" for column in says)
    op.execute(f"""
        create function {schema}.{name}_hash(before bytea, entry {log}) returns bytea
        language sql stable set search_path = pg_catalog, pg_temp as $$
            select sha256(before || convert_to(concat_ws(chr(31), entry.chain_position::text, {words}), 'UTF8'))
        $$
    """)
    # Writers of one chain wait for each other: each sees the head that the one before it committed.
    op.execute(f"""
        create function {schema}.chain_{name}() returns trigger
        language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
        declare
            entry {log} := new;
            head access.audit_heads;
        begin
            perform pg_advisory_xact_lock(hashtextextended('{log} ' || {owner}, 0));
            select * into head from access.audit_heads h where h.log = '{log}' and h.organization_id = {owner};
            entry.chain_position := coalesce(head.entries, 0) + 1;
            entry.chain_hash := {schema}.{name}_hash(coalesce(head.hash, ''), entry);
            insert into access.audit_heads values ('{log}', {owner}, entry.chain_position, entry.chain_hash)
            on conflict (log, organization_id) do update set entries = excluded.entries, hash = excluded.hash;
            return entry;
        end $$
    """)
    for function in (f"{name}_hash(bytea, {log})", f"chain_{name}()"):
        op.execute(f"revoke all on function {schema}.{function} from public")
    _chain_what_is_there(
        log, key=("organization_id", says[0]) if by_organization else (says[0],), owner=owner
    )
    op.execute(
        f"alter table {log} alter column chain_position set not null, alter column chain_hash set not null,"
        f" add constraint {name}_chain unique ({unique})"
    )
    op.execute(
        f"create trigger chain before insert on {log} for each row execute function {schema}.chain_{name}()"
    )


def drop_chain(log: str) -> None:
    """Let the entries of a log stand alone again."""
    schema, name = log.split(".")
    op.execute(f"drop trigger chain on {log}")
    op.execute(f"drop function {schema}.chain_{name}()")
    op.execute(f"drop function {schema}.{name}_hash(bytea, {log})")
    op.execute(f"alter table {log} drop column chain_position, drop column chain_hash")
    op.execute(f"delete from access.audit_heads where log = '{log}'")


def _text(column: str) -> str:
    if column == "at":
        return "cast(extract(epoch from entry.at) * 1000000 as bigint)::text"
    return f"entry.{column}::text"


def _chain_what_is_there(log: str, *, key: Sequence[str], owner: str) -> None:
    schema, name = log.split(".")
    walled = schema != "access"
    if walled:  # forced row-level security would hide the rows from the owner too
        op.execute(f"alter table {log} no force row level security")
    op.execute(f"""
        do $$
        declare
            entry {log};
            head access.audit_heads;
        begin
            for entry in select * from {log} entry order by {", ".join(key)} loop
                select * into head from access.audit_heads h where h.log = '{log}' and h.organization_id = {owner};
                entry.chain_position := coalesce(head.entries, 0) + 1;
                entry.chain_hash := {schema}.{name}_hash(coalesce(head.hash, ''), entry);
                update {log} as kept set chain_position = entry.chain_position, chain_hash = entry.chain_hash
                where {" and ".join(f"kept.{column} = entry.{column}" for column in key)};
                insert into access.audit_heads values ('{log}', {owner}, entry.chain_position, entry.chain_hash)
                on conflict (log, organization_id) do update set entries = excluded.entries, hash = excluded.hash;
            end loop;
        end $$
    """)
    if walled:
        op.execute(f"alter table {log} force row level security")
