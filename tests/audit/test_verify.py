"""An audit log that was changed, shortened, lengthened or put in another order is found out, by its entry."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from services.audit import INSTALLATION, Verdict, audit, verdicts
from services.tracker.store.audit import audit as write_entry
from shared.postgres import create_engine, transaction
from shared.postgres.migrate import downgrade, upgrade
from shared.security.principals import Principal
from tests.support.database import Database

MINE, THEIRS = UUID(int=1), UUID(int=2)
TRACKER = "tracker.audit_log"
PUT_IN = (
    "insert into tracker.audit_log (organization_id, principal_id, action, chain_position, chain_hash)"
    " values (:mine, :mine, 'x', {}, {})"
)


@pytest.fixture
async def tracker(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.url("reprieve_tracker"), name="test", pool_size=8)
    yield engine
    await engine.dispose()


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.owner, name="test")
    yield engine
    await engine.dispose()


async def write(engine: AsyncEngine, organization: UUID = MINE, *, entries: int = 1) -> None:
    who = Principal(
        principal_id=uuid4(), name="a", role="biller", organization_id=organization, submitter_id=None
    )
    for number in range(entries):
        async with transaction(engine, organizations=[organization]) as connection:
            await write_entry(
                connection, who, "identifiers_opened", case_id=uuid4(), detail={"b": number, "a": "é\n"}
            )


async def tamper(engine: AsyncEngine, *statements: str) -> None:
    """Do as the database's owner what nobody should."""
    async with transaction(engine, organizations=[MINE, THEIRS]) as connection:
        for statement in ("alter table tracker.audit_log disable trigger chain", *statements):
            await connection.execute(text(statement))


async def judged(engine: AsyncEngine) -> dict[UUID, Verdict]:
    return {one.organization_id: one async for one in verdicts(engine) if one.log == TRACKER}


async def test_what_was_only_written_is_whole(tracker: AsyncEngine, owner: AsyncEngine):
    await write(tracker, entries=3)
    await write(tracker, THEIRS)
    found = await judged(owner)

    assert [(one.entries, one.fault) for one in (found[MINE], found[THEIRS])] == [(3, None), (1, None)]
    assert found[MINE].head != found[THEIRS].head


async def test_what_the_operator_did_about_alerts_is_a_chain_too(tracker: AsyncEngine, owner: AsyncEngine):
    await write(tracker, INSTALLATION, entries=2)
    assert (await judged(owner))[INSTALLATION].entries == 2

    async with transaction(owner, organizations=[INSTALLATION]) as connection:
        await connection.execute(text("alter table tracker.audit_log disable trigger chain"))
        await connection.execute(text("delete from tracker.audit_log where chain_position = 1"))
    assert (await judged(owner))[INSTALLATION].fault == "is missing"


async def test_writers_at_once_make_one_chain(tracker: AsyncEngine, owner: AsyncEngine):
    await asyncio.gather(*(write(tracker, one, entries=5) for one in [MINE, THEIRS] * 4))
    found = await judged(owner)

    assert [(one.entries, one.fault) for one in (found[MINE], found[THEIRS])] == [(20, None), (20, None)]


async def test_an_entry_that_is_rolled_back_leaves_no_gap(tracker: AsyncEngine, owner: AsyncEngine):
    await write(tracker)
    async with tracker.connect() as connection:
        scope = {"mine": str(MINE)}
        await connection.execute(text("select set_config('reprieve.organizations', :mine, true)"), scope)
        await connection.execute(text(PUT_IN.format("null", "null")), scope)
        await connection.rollback()
    await write(tracker)

    assert (await judged(owner))[MINE].entries == 2


@pytest.mark.parametrize(
    ("statements", "entry", "fault"),
    [
        (["update tracker.audit_log set detail = '{}' where chain_position = 3"], 3, "differs"),
        (
            ["update tracker.audit_log set at = at + interval '1 microsecond' where chain_position = 3"],
            3,
            "differs",
        ),
        (["update tracker.audit_log set subject_id = null where chain_position = 1"], 1, "differs"),
        (["delete from tracker.audit_log where chain_position = 2"], 2, "is missing"),
        (["delete from tracker.audit_log where chain_position >= 4"], 4, "is missing"),
        (["delete from tracker.audit_log"], 1, "is missing"),
        (
            [
                "delete from tracker.audit_log where chain_position = 2",
                "update tracker.audit_log set chain_position = 2 where chain_position = 3",
            ],
            2,
            "differs",
        ),
        (
            [
                "update tracker.audit_log set chain_position = 99 where chain_position = 2",
                "update tracker.audit_log set chain_position = 2 where chain_position = 3",
                "update tracker.audit_log set chain_position = 3 where chain_position = 99",
            ],
            2,
            "differs",
        ),
        (
            [PUT_IN.format(6, "sha256('')").replace(":mine", f"'{MINE}'")],
            6,
            "was put in",
        ),
        (
            [PUT_IN.format(0, "sha256('')").replace(":mine", f"'{MINE}'")],
            0,
            "was put in",
        ),
        (["update access.audit_heads set hash = sha256('')"], 5, "differs"),
    ],
)
async def test_whatever_is_done_to_the_log_is_named_by_its_entry(
    tracker: AsyncEngine, owner: AsyncEngine, statements: list[str], entry: int, fault: str
):
    await write(tracker, entries=5)
    await tamper(owner, *statements)
    found = (await judged(owner))[MINE]

    assert (found.entry, found.fault) == (entry, fault)
    assert found.entries == (5 if entry > 4 else entry - 1 if entry else 0)


async def test_a_service_cannot_write_the_chain_itself(tracker: AsyncEngine, owner: AsyncEngine):
    async with transaction(tracker, organizations=[MINE]) as connection:
        await connection.execute(text(PUT_IN.format(70, "sha256('')")), {"mine": MINE})
    found = (await judged(owner))[MINE]

    assert (found.entries, found.fault) == (1, None)


async def test_entries_from_before_the_chain_are_chained_by_the_upgrade(
    database: Database, tracker: AsyncEngine, owner: AsyncEngine
):
    await write(tracker, entries=3)
    await write(tracker, THEIRS, entries=2)
    before = await judged(owner)
    await tracker.dispose()
    await owner.dispose()
    await asyncio.to_thread(downgrade, database.owner, "0010")
    await asyncio.to_thread(upgrade, database.owner)
    await write(tracker)
    after = await judged(owner)

    assert [(after[one].entries, after[one].fault) for one in (MINE, THEIRS)] == [(4, None), (2, None)]
    assert after[THEIRS].head == before[THEIRS].head


async def test_the_command_says_so_and_leaves_with_one(
    database: Database, tracker: AsyncEngine, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REPRIEVE_ADMIN_DATABASE_URL", database.owner)
    await write(tracker, entries=2)
    whole = await asyncio.to_thread(CliRunner().invoke, audit, ["verify"])
    await tamper(owner, "update tracker.audit_log set action = 'nothing' where chain_position = 2")
    broken = await asyncio.to_thread(CliRunner().invoke, audit, ["verify", "--format", "json"])

    assert (whole.exit_code, broken.exit_code) == (0, 1)
    assert "whole" in whole.stdout
    lines = [json.loads(line) for line in broken.stdout.splitlines()]
    assert [(one["log"], one["entry"]) for one in lines if one["fault"]] == [(TRACKER, 2)]
