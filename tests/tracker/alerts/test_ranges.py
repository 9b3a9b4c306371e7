"""100,000 cases with deadlines: what an evaluator reads of them, at its first look and at those after it."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text

from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.routing import Route, Routing
from services.tracker.alerts.domain.rules import (
    CASE_KINDS,
    Clock,
    DeadlineMissed,
    FollowUp,
    InformationRequest,
    NewCase,
    Rule,
    Tier,
    Unowned,
)
from services.tracker.alerts.store.candidates import candidate_query
from services.tracker.alerts.store.ripening import ripe_query
from services.tracker.alerts.store.settings import choose, keep_rule
from services.tracker.alerts.workers.evaluating import Memory, look_at
from services.tracker.domain.observations import observe
from services.tracker.workers.recording import record_decisions
from shared import clock
from shared.contracts.base import encode
from shared.postgres import create_engine, transaction
from tests.tracker.support import ORGANIZATION, denial, outcome
from tests.tracker.support import clock as clock_of

SECOND = timedelta(seconds=1)
CASES = 100_000
APART = "150 seconds"
CALENDAR = Calendar(zone="UTC", weekdays=tuple(range(7)), country="")
EVERY_DAY = {"weekdays": tuple(range(7)), "country": "", "zone": "UTC"}
RULES = [
    Rule(rule_id=uuid4(), name=settings.kind, settings=settings)
    for settings in (Clock(), NewCase(), DeadlineMissed(), FollowUp(), InformationRequest(), Unowned())
]
READ = ("deadline", "opened", "follow_up", "information_due")
"""The indexes that evaluation may read; to fill the others would take most of the time."""


@pytest.fixture(scope="module")
async def engine(shared_database):
    engine = create_engine(shared_database.url("reprieve_tracker"), name="test")
    yield engine
    await engine.dispose()


async def record(engine, *events) -> None:
    await record_decisions(engine, [(observe(event), encode(event)) for event in events])


@pytest.fixture(scope="module")
async def many_cases(shared_database, engine):
    """100,000 cases, their deadlines over the coming half year, loaded in bulk: rows first, then indexes."""
    await record(engine, denial(claim_key=uuid4()))
    owner = await asyncpg.connect(shared_database.owner.replace("+asyncpg", ""))
    await owner.execute("select set_config('reprieve.organizations', $1, false)", str(ORGANIZATION))
    indexes = await owner.fetch(
        "select indexname, indexdef from pg_indexes i where schemaname = 'tracker' and tablename = 'cases'"
        " and not exists (select from pg_constraint where conname = i.indexname)"
    )
    for index in indexes:
        await owner.execute(f"drop index tracker.{index['indexname']}")
    columns = [
        row["column_name"]
        for row in await owner.fetch(
            "select column_name from information_schema.columns where table_schema = 'tracker'"
            " and table_name = 'cases' and is_generated = 'NEVER'"
        )
    ]
    changed = {
        "case_id": "gen_random_uuid()",
        "claim_key": "gen_random_uuid()",
        # None of them passes while the tests look.
        "deadlines": f"array[now() + interval '15 minutes' + n * interval '{APART}']",
        "next_deadline_at": f"now() + interval '15 minutes' + n * interval '{APART}'",
        "opened_at": f"now() - n * interval '{APART}'",
        "follow_up_on": "case when n % 50 = 0 then current_date + n / 500 end",
        "information_due_at": f"case when n % 70 = 0 then now() + n * interval '{APART}' end",
    }
    await owner.execute(
        f"insert into tracker.cases ({', '.join(columns)})"
        f" select {', '.join(changed.get(name, name) for name in columns)}"
        f" from tracker.cases, generate_series(1, {CASES}) as n"
    )
    for index in indexes:
        if index["indexname"].removeprefix("cases_") in READ:
            await owner.execute(index["indexdef"])
    for table in ("cases", "missed_deadlines", "alerts"):
        await owner.execute(f"alter table tracker.{table} set (autovacuum_enabled = off)")
        await owner.execute(f"analyze tracker.{table}")
    await owner.close()


def test_every_kind_of_rule_about_cases_is_looked_at_here():
    assert {rule.settings.kind for rule in RULES} == {*CASE_KINDS}


async def plan_of(engine, statement: str, **bound):
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        found = await connection.execute(
            text(f"explain (analyze, format json) {statement}"), {**bound, "organization_id": ORGANIZATION}
        )
        return found.scalar_one()[0]["Plan"]


def nodes(plan):
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)


def read_of_cases(plan) -> int:
    """The rows of cases that a plan read; all of them by an index."""
    read = [node for node in nodes(plan) if node.get("Relation Name") == "cases"]
    assert read
    assert all("Index" in node["Node Type"] for node in read), plan
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in read
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
async def test_a_first_look_reads_a_range_of_an_index(many_cases, engine, rule):
    statement, bound = candidate_query(rule, at=clock.now(), calendar=CALENDAR)

    assert read_of_cases(await plan_of(engine, statement, **bound, limit=1000)) <= CASES // 10


async def test_a_later_look_reads_a_sliver_of_the_indexes(many_cases, engine):
    at = clock.now()
    statement, bound = ripe_query(RULES, since=at - 15 * SECOND, at=at, calendar=CALENDAR)

    assert read_of_cases(await plan_of(engine, statement, **bound)) <= 10


async def test_looks_after_the_first_cost_what_changed(same_day, many_cases, engine):
    rule = Rule(
        rule_id=uuid4(), name="two days", settings=Clock(tiers=(Tier(business_days=1, severity="info"),))
    )
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        assert await keep_rule(connection, ORGANIZATION, rule)
        routing = Routing(route=Route(name="all", channels="all"))
        assert await choose(connection, ORGANIZATION, routing=routing, calendar=EVERY_DAY, version=1)
    memory: Memory = {}
    at = clock.now()
    first = await look_at(engine, ORGANIZATION, at=at, memory=memory)
    assert 500 < first.opened < 2000

    assert await look_at(engine, ORGANIZATION, at=at + 15 * SECOND, memory=memory) == (0, 0, 0)
    near = denial(claim_key=uuid4(), clocks=(clock_of(at + 3600 * SECOND, zone="UTC"),))
    await record(engine, near, denial(claim_key=uuid4()))
    assert (await look_at(engine, ORGANIZATION, at=at + 30 * SECOND, memory=memory)).opened == 1
    await record(engine, outcome("paid", claim_key=near.claim_key))
    assert (await look_at(engine, ORGANIZATION, at=at + 45 * SECOND, memory=memory)).resolved == 1
