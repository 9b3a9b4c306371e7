"""
`reprieve audit verify`: reads every audit log from its first entry to its last and computes its chain anew.

What an entry says, its number and the hash of the entry before it make its own hash (migrations/chains.py
has the words). Whoever changes, removes, moves or puts in an entry breaks the chain there. Who rewrites a
whole chain as the database's owner does not: against that, keep the heads that this prints somewhere else.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.postgres import transaction
from shared.security.commands import Format, FormatOption, with_owner
from shared.security.settings import DEFAULT_DATA_DIR, DataDirOption
from shared.terminal import print_table

EXIT_FINDINGS = 1
INSTALLATION = UUID(int=0)
_ENTRIES_AT_ONCE = 2_000

Fault = Literal["differs", "is missing", "was put in"]


@dataclass(frozen=True, slots=True)
class Log:
    """
    A chained log, and what its entries say, in the order in which it is hashed.

    Its chains are the organizations' (`by_organization`), the installation's (`of_installation`), or both.
    """

    table: str
    says: tuple[str, ...]
    by_organization: bool = True
    of_installation: bool = False

    def chains(self, organizations: Iterable[UUID]) -> list[UUID]:
        """Name the chains: one for each organization, the nil id for the installation."""
        return [
            *((INSTALLATION,) if self.of_installation else ()),
            *(organizations if self.by_organization else ()),
        ]


_AUDIT = ("entry_id", "organization_id", "at", "principal_id", "action", "subject_id", "detail")
LOGS = (
    Log("ingest.audit_log", _AUDIT),
    Log("triage.audit_log", _AUDIT, of_installation=True),
    Log("tracker.audit_log", _AUDIT, of_installation=True),  # of alerts that are the operator's
    Log(
        "access.operations_log",
        ("position", "at", "done_by", "action", "detail"),
        by_organization=False,
        of_installation=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    One chain: how many entries fit, and the hash of the last of them, hex.

    `entry` is the number of the first one that does not fit, `at` its own time where it is there, `fault`
    what is wrong with it: it differs from what was chained (its words or its place), is missing, or was put
    in.
    """

    log: str
    organization_id: UUID
    entries: int
    head: str
    entry: int | None = None
    at: datetime | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class _Head:
    entries: int
    hash: bytes


audit = typer.Typer(no_args_is_help=True, help="The audit logs: is every entry there, as it was written?")


@audit.callback()
def _root() -> None:
    """Keep `verify` a sub-command although it is the only one."""


@audit.command()
def verify(output: FormatOption = Format.table, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """
    Read the audit logs as a whole, and name the first entry of each that does not fit.

    Exit status 1 when one does not. Keep the heads elsewhere, and compare them with the next time's.
    """

    async def work(engine: AsyncEngine) -> list[Verdict]:
        return [verdict async for verdict in verdicts(engine)]

    found = with_owner(data_dir, work)
    if output is Format.json:
        for one in found:
            print(msgspec.json.encode(one).decode())  # noqa: T201  a command prints
    else:
        print_table(_table(found))
    if any(one.fault for one in found):
        raise typer.Exit(EXIT_FINDINGS)


def _table(found: list[Verdict]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("log", "organization", "entries", "head", "verdict"):
        table.add_column(heading, no_wrap=heading != "verdict")  # these are kept, to be compared
    for one in found:
        whose = "" if one.organization_id == INSTALLATION else str(one.organization_id)
        said = (
            f"entry {one.entry:,} {one.fault}" + (f" ({one.at:%Y-%m-%d %H:%M:%S %Z})" if one.at else "")
            if one.fault
            else "whole"
        )
        table.add_row(one.log, whose, f"{one.entries:,}", one.head[:16], said)
    return table


async def verdicts(engine: AsyncEngine) -> AsyncIterator[Verdict]:
    """Judge every chain that there is, as the owner of the tables."""
    async with transaction(engine) as connection:
        organizations = sorted((await connection.execute(_ORGANIZATIONS)).scalars())
    for log in LOGS:
        for organization in log.chains(organizations):
            yield await _judge(engine, log, UUID(str(organization)))


async def _judge(engine: AsyncEngine, log: Log, organization: UUID) -> Verdict:
    """Follow one chain to its head; what is written meanwhile is left for the next time."""
    head = await _head(engine, log, organization)
    fits, last = 0, b""

    def verdict(entry: int | None = None, fault: Fault | None = None, at: datetime | None = None) -> Verdict:
        return Verdict(log.table, organization, fits, last.hex(), entry, at, fault)

    async for row in _entries(engine, log, organization, through=head.entries):
        if row.position > fits + 1:
            return verdict(fits + 1, "is missing")
        if row.position <= fits:
            return verdict(row.position, "was put in", row.at)
        if sha256(last + f"{row.position}\x1f{row.words}".encode()).digest() != row.chain_hash:
            return verdict(row.position, "differs", row.at)
        fits, last = row.position, row.chain_hash
    if fits < head.entries:
        return verdict(fits + 1, "is missing")
    if last != head.hash:
        return verdict(fits, "differs")
    beyond = await _beyond(engine, log, organization)
    return verdict(beyond.position, "was put in", beyond.at) if beyond else verdict()


async def _head(engine: AsyncEngine, log: Log, organization: UUID) -> _Head:
    async with transaction(engine) as connection:
        asked = {"log": log.table, "organization": organization}
        found = (await connection.execute(_HEAD, asked)).one_or_none()
    return _Head(found.entries, found.hash) if found else _Head(0, b"")


async def _entries(engine: AsyncEngine, log: Log, organization: UUID, *, through: int) -> AsyncIterator[Any]:
    """Give the entries of one chain by their numbers, a page at a time."""
    after = _BEFORE_ALL
    while True:
        async with transaction(engine, organizations=[organization]) as connection:
            page = (await connection.execute(_page(log), {"after": after, "through": through})).all()
        for row in page:
            yield row
        if len(page) < _ENTRIES_AT_ONCE:
            return
        after = page[-1].position


async def _beyond(engine: AsyncEngine, log: Log, organization: UUID) -> Any:
    """Give the first entry that came in without the head knowing; in one statement, for others write on."""
    async with transaction(engine, organizations=[organization]) as connection:
        asked = {"log": log.table, "organization": organization}
        return (await connection.execute(_past_head(log), asked)).one_or_none()


_BEFORE_ALL = -(2**63)
_HEAD = text(
    "select entries, hash from access.audit_heads where (log, organization_id) = (:log, :organization)"
)
_ORGANIZATIONS = text("""
    select organization_id from access.organizations
    union
    select organization_id from access.audit_heads where organization_id <> cast(repeat('0', 32) as uuid)
""")


@cache
def _page(log: Log) -> TextClause:
    words = ", ".join(f"coalesce({_text(column)}, '')" for column in log.says)
    return text(f"""
        select chain_position as position, chain_hash, at, concat_ws(chr(31), {words}) as words
        from {log.table} where chain_position > :after and chain_position <= :through
        order by chain_position limit {_ENTRIES_AT_ONCE}
    """)


@cache
def _past_head(log: Log) -> TextClause:
    return text(f"""
        select chain_position as position, at from {log.table}
        where chain_position > coalesce((
            select entries from access.audit_heads where (log, organization_id) = (:log, :organization)), 0)
        order by chain_position limit 1
    """)


def _text(column: str) -> str:
    if column == "at":
        return "cast(cast(extract(epoch from at) * 1000000 as bigint) as text)"
    return f"cast({column} as text)"
