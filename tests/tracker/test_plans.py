"""No list reads all cases: the plans of the queries that people ask, as a million cases would have them."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api.filters import stored_filters
from services.tracker.domain.worklist import BANDS
from services.tracker.store.filters import Filters
from services.tracker.store.search import Place, are_few, page_query, parts, payers_like
from services.tracker.store.worklist import QueuePlace, band_query
from shared.identity import claim_key_of
from shared.postgres import create_engine, transaction
from tests.support.asking import ME, PATHS, queries_of, query_of
from tests.support.many_cases import CLAIM_NUMBER, LARGEST, SMALLEST, SOMEBODY, Known, load_cases, pretend

CASES = int(os.environ.get("REPRIEVE_TEST_CASES", "10000"))
MILLION = 1_000_000
NOW = datetime.now(UTC)


@dataclass
class Loaded:
    engine: AsyncEngine
    known: Known
    plans: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def loaded(postgres_server) -> AsyncIterator[Loaded]:
    """Cases that all tests of this module look at, and none changes."""
    database = await postgres_server.fresh()
    owner = await asyncpg.connect(database.owner.replace("+asyncpg", ""))
    known = await load_cases(owner, CASES)
    if CASES < MILLION:
        await pretend(owner, MILLION / CASES)
    await owner.close()
    engine = create_engine(database.url("reprieve_tracker"), name="test", pool_size=1)
    yield Loaded(engine, known)
    await engine.dispose()


def filters(known: Known) -> dict[str, Filters]:
    """Give each filter alone."""
    return {
        "none": Filters(),
        "a frequent state": Filters(states=["closed"]),
        "a rare state": Filters(states=["reversed"]),
        "several states": Filters(states=["open", "partly_paid"]),
        "a frequent category": Filters(categories=["not_authorization"]),
        "a rare category": Filters(categories=["authorization_expired"]),
        "about authorization": Filters(auth_related=True),
        "not about authorization": Filters(auth_related=False),
        "a frequent payer": Filters(payers=["P0\x1fpayer 0"]),
        "a rare payer": Filters(payers=["P299\x1fpayer 299"]),
        "an unknown payer": Filters(payers=[]),
        "deadline from": Filters(deadline_from=NOW + timedelta(days=170)),
        "deadline before": Filters(deadline_before=NOW + timedelta(days=1)),
        "deadline before day": Filters(deadline_before_day=NOW.date() + timedelta(days=1)),
        "deadline from day": Filters(deadline_from_day=NOW.date() + timedelta(days=179)),
        "amount at least": Filters(amount_at_least=Decimal(20_000)),
        "amount at most": Filters(amount_at_most=Decimal(20)),
        "young": Filters(opened_from=NOW - timedelta(days=1)),
        "old": Filters(opened_until=NOW - timedelta(days=899)),
        "claim number": Filters(claim_key=claim_key_of(LARGEST, CLAIM_NUMBER)),
        "payer's claim number": Filters(payer_claim_number=known.payer_claim_number),
        "member": Filters(member_id_index=known.member_id_index),
        "patient": Filters(patient_name_index=known.patient_name_index),
        "a frequent facility": Filters(facility="1000000000"),
        "a rare facility": Filters(facility="1000000039"),
        "provider": Filters(rendering_npi="1100000007"),
        "a frequent service": Filters(service_code="705"),
        "an unknown service": Filters(service_code="A42"),
        "mine": Filters(assignee_id=SOMEBODY),
        "nobody's": Filters(unassigned=True),
        "a frequent tag": Filters(tag="appeal"),
        "a rare tag": Filters(tag="board"),
        "needs a person": Filters(needs_human=True),
    }


async def plan(loaded: Loaded, statement: str, bound: dict, organization=LARGEST) -> str:
    async with transaction(loaded.engine, organizations=[organization]) as connection:
        found = await connection.execute(
            text(f"explain {statement}"), {**bound, "organization_id": organization, "limit": 51}
        )
        return "\n".join(found.scalars())


@pytest.mark.parametrize("organization", [LARGEST, SMALLEST])
async def test_each_filter_alone_is_served_by_an_index(loaded, organization):
    plans = {
        name: await plan(loaded, *page_query(one, sort="-priority"), organization)
        for name, one in filters(loaded.known).items()
    }

    assert {name: one for name, one in plans.items() if "Seq Scan" in one} == {}


@pytest.mark.parametrize("sort", ["priority", "deadline", "amount", "opened"])
async def test_each_order_and_a_page_far_behind_are_served_by_an_index(loaded, sort):
    value = {"priority": "50", "deadline": "2026-12-01", "amount": "5000", "opened": "2025-12-01"}[sort]
    place = Place(sort, value, loaded.known.case_id)

    plans = {
        (minus, after, part): await plan(
            loaded, *page_query(Filters(), sort=f"{minus}{sort}", after=after, part=part)
        )
        for minus in ("", "-")
        for after in (None, place)
        for part in parts(Filters(), sort=f"{minus}{sort}", after=after)
    }

    assert {asked: one for asked, one in plans.items() if "Seq Scan" in one or "Sort Key" in one} == {}


async def test_a_case_is_pinpointed_by_its_own_index(loaded):
    wanted = {
        "claim number": "claim_key_ordinal_key",
        "payer's claim number": "cases_payer_claim",
        "member": "cases_member",
        "patient": "cases_patient",
    }
    plans = {
        name: await plan(loaded, *page_query(filters(loaded.known)[name], sort="-priority"))
        for name in wanted
    }

    assert [name for name, index in wanted.items() if index not in plans[name]] == []


async def test_payers_are_found_from_one_to_the_next(loaded):
    async with transaction(loaded.engine, organizations=[LARGEST]) as connection:
        assert await payers_like(connection, LARGEST, "PAYER 7") == ["P7\x1fpayer 7"]
        assert await payers_like(connection, LARGEST, "P7") == ["P7\x1fpayer 7"]
        assert await payers_like(connection, LARGEST, "P") == []


async def test_each_band_of_the_worklist_is_served_by_an_index(loaded):
    me = SOMEBODY
    places = [QueuePlace(NOW, band) for band in range(len(BANDS))]
    places += [QueuePlace(NOW, band, 0, 50, me) for band in range(len(BANDS))]

    plans = {place: await plan(loaded, *band_query(place.band, me=me, after=place)) for place in places}

    assert {place: one for place, one in plans.items() if "Seq Scan" in one} == {}


@pytest.mark.parametrize("organization", [LARGEST, SMALLEST])
@pytest.mark.parametrize("path", PATHS)
async def test_each_documented_question_is_served_by_an_index(loaded, path, organization):
    async with transaction(loaded.engine, organizations=[LARGEST]) as connection:
        asked = await queries_of(connection, path)

    plans = [await plan(loaded, *one, organization) for one in asked]

    assert [one for one in plans if "Seq Scan" in one] == []


async def test_only_a_range_of_few_cases_is_sorted_whole(loaded):
    async with transaction(loaded.engine, organizations=[LARGEST]) as connection:
        few = [
            await are_few(
                connection,
                LARGEST,
                await stored_filters(connection, ME, query_of(path), at=NOW),
                sort="-priority",
            )
            for path in ("/v1/cases?deadline_from=2020-01-01", "/v1/cases?amount_at_most=20")
        ]

    assert few == [False, True]
