"""Cases are found by what people have in hand, and nobody's name stands in a URL."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from services.tracker.store.filters import Filters
from services.tracker.store.search import COLUMNS, LISTED, open_for_lists, page_query
from services.tracker.store.worklist import QueuePlace, band_query
from shared.contracts.claim import Party, Reference
from shared.contracts.claim_denied import DeniedAdjustment
from shared.contracts.person import Person
from shared.postgres import create_engine, rows, transaction
from tests.tracker.site import ADA, only, page
from tests.tracker.support import clock, line

NPI = Reference(qualifier="XX", value="1999999984")
TAX_ID = Reference(qualifier="FI", value="990000001")


async def numbers(site, **query) -> set[str]:
    return {case["claim_number"] for case in (await page(site["viewer"], **query))["data"]}


async def search(site, role="biller", **body):
    return await site[role].post("/v1/cases/search", json=body)


async def found(site, **body) -> set[str]:
    answer = await search(site, **body)
    assert answer.status_code == 200, answer.text
    return {case["claim_number"] for case in answer.json()["data"]}


async def test_each_new_filter_keeps_what_it_names_and_nothing_else(site, deny):
    soon = datetime.now(UTC) + timedelta(days=3)
    await deny(claim_number="plain", payer_claim_number=None)
    await deny(claim_number="theirs", payer_claim_number="ICN-9")
    await deny(claim_number="npi", payee=Party(ids=(TAX_ID, NPI)))
    await deny(claim_number="tax", payee=Party(ids=(TAX_ID,)))
    await deny(claim_number="doctor", rendering_npi="1999999992")
    await deny(claim_number="scan", lines=(line(code="70553"),))
    await deny(claim_number="drug", lines=(line(code="J9271"),))
    await deny(claim_number="soon", clocks=(clock(soon),))
    await deny(claim_number="none", clocks=())
    await deny(claim_number="small", charge="9.99")

    assert await numbers(site, payer_claim_number="ICN-9") == {"theirs"}
    assert await numbers(site, facility=NPI.value) == {"npi"}
    assert await numbers(site, facility=TAX_ID.value) == {"tax"}
    assert await numbers(site, rendering_npi="1999999992") == {"doctor"}
    assert await numbers(site, service_code="705") == {"scan"}
    assert await numbers(site, service_code="j") == {"drug"}
    assert await numbers(site, service_code="70553") == {"scan"}
    assert await numbers(site, deadline_from=soon.isoformat(), deadline_before="2090-01-01") == {"soon"}
    assert "none" not in await numbers(site, deadline_from="2020-01-01")
    assert await numbers(site, amount_at_most="9.99") == {"small"}
    assert await numbers(site, amount_at_most="9.98") == set()
    assert await numbers(site, age_at_least=1) == set()
    assert len(await numbers(site, age_at_most=1)) == 10
    assert await numbers(site, service_code="705", payer_claim_number="ICN-9") == set()


async def test_the_service_is_that_of_the_line_that_denies_most(site, deny):
    denied = tuple(
        DeniedAdjustment(line_number=number, group="CO", reason="197", amount=amount)
        for number, amount in ((1, 10), (2, 20), (2, 5), (3, 1))
    )
    lines = (line(1, "99213"), line(2, None, revenue_code="0450"), line(3, "70553"))
    await deny(denied=denied, lines=lines)

    assert (await only(site))["service_code"] == "0450"


async def test_a_case_is_found_once_by_every_service_that_is_denied(site, deny):
    denied = tuple(
        DeniedAdjustment(line_number=number, group="CO", reason="197", amount=10 * number)
        for number in (1, 2, 3)
    )
    codes = ("99213", "70551", "70553", "27447")
    event = await deny(denied=denied, lines=tuple(line(number, code) for number, code in enumerate(codes, 1)))

    assert (await only(site))["further_service_codes"] == ["70551", "99213"]
    for sort in ("-priority", "deadline", "amount"):
        for code, times in {"705": 1, "992": 1, "70551": 1, "274": 0}.items():
            found = await page(site["viewer"], service_code=code, sort=sort)
            assert (code, len(found["data"])) == (code, times)

    again = {"event_id": event.event_id, "claim_key": event.claim_key, "decision_revision": 2}
    await deny(**again, denied=denied[:1], lines=(line(1, "J9271"),))

    assert await numbers(site, service_code="992") == set()
    assert (await only(site, service_code="j"))["further_service_codes"] == []


async def test_by_deadline_those_in_which_no_clock_matters_come_last(site, deny):
    soon = datetime.now(UTC) + timedelta(days=3)
    for number, clocks in enumerate(((), (clock(soon + timedelta(days=1)),), (), (clock(soon),), ())):
        await deny(claim_number=f"C{number}", clocks=clocks)

    forward, backward = await every_page(site, "deadline"), await every_page(site, "-deadline")

    assert forward[:2] == ["C3", "C1"]
    assert set(forward[2:]) == {"C0", "C2", "C4"}
    assert backward == forward[::-1]


async def every_page(site, sort: str) -> list[str]:
    found, cursor = [], {}
    while True:
        one = await page(site["viewer"], sort=sort, limit=1, **cursor)
        found += [case["claim_number"] for case in one["data"]]
        if not one["has_more"]:
            return found
        cursor = {"cursor": one["next_cursor"]}


@pytest.mark.parametrize(
    "person",
    [
        {"member_id": "member 77"},
        {"patient_last_name": "BYRON", "patient_first_name": "ada"},
        {"patient_last_name": "Býron", "patient_first_name": "Ada", "member_id": "MEMBER-77"},
    ],
)
async def test_a_patient_is_found_as_the_sealing_side_writes_them(site, deny, person):
    await deny(claim_number="hers", patient=await site.sealed())
    await deny(claim_number="other", patient=await site.sealed(Person(last="Byron", member_id="M2")))

    assert await found(site, **person) == {"hers"}


async def test_a_look_for_a_patient_is_audited_without_the_name(site, deny, select):
    await deny(patient=await site.sealed())

    await search(site, member_id=ADA.member_id)
    [row] = await select("select * from tracker.audit_log", organization=site.organization)

    assert (row.action, row.detail) == ("patient_searched", {"by": ["member_id"]})


@pytest.mark.parametrize("role", ["viewer", "auditor"])
async def test_who_may_not_open_names_may_not_look_for_one_but_for_all_else(site, deny, role):
    await deny(claim_number="A-7", patient=await site.sealed())

    refused = await search(site, role, member_id=ADA.member_id)
    allowed = await search(site, role, claim_number="a-7", state=["open"])

    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert [case["claim_number"] for case in allowed.json()["data"]] == ["A-7"]


async def test_a_patient_of_another_organization_is_not_found(site, deny):
    await deny(patient=await site.sealed())

    answer = await site["stranger"].post("/v1/cases/search", json={"member_id": ADA.member_id})

    assert answer.json()["data"] == []


@pytest.mark.parametrize("path", ["member_id=M1", "patient_last_name=Byron"])
async def test_a_name_in_a_url_is_refused(site, path):
    assert (await site["biller"].get(f"/v1/cases?{path}")).status_code == 422


@pytest.mark.parametrize("body", [{"member_id": "--"}, {"claim_number": "000"}, {"stat": ["open"]}])
async def test_a_search_that_makes_no_sense_is_refused(site, body):
    assert (await search(site, **body)).status_code == 422


async def test_pages_of_a_search_go_on_by_their_cursor(site, deny):
    for number in range(5):
        await deny(claim_number=f"C{number}", priority=number)

    first = (await search(site, limit=3, state=["open"])).json()
    second = (await search(site, limit=3, state=["open"], cursor=first["next_cursor"])).json()

    assert [case["claim_number"] for case in first["data"] + second["data"]] == ["C4", "C3", "C2", "C1", "C0"]


async def test_the_kinds_of_cases_are_merged_in_one_order_and_pages_go_on_across_them(site, deny):
    kinds = ["authorization_absent", "referral_absent", "not_authorization"]
    for number in range(12):
        await deny(
            claim_number=f"C{number:02}",
            priority=number,
            category=kinds[number % 3],
            auth_related=number % 3 < 2,
        )

    asked = {"category": kinds, "limit": 5}
    seen, cursor = [], None
    while True:
        answer = await page(site["viewer"], **asked, **({"cursor": cursor} if cursor else {}))
        seen += [case["claim_number"] for case in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break

    assert seen == [f"C{number:02}" for number in reversed(range(12))]
    assert await numbers(site, auth_related=False) == {"C02", "C05", "C08", "C11"}


async def test_cases_are_found_by_who_works_on_them_and_by_their_tags(site, deny):
    for number in ("mine", "free", "old"):
        await deny(claim_number=number)
    ids = {case["claim_number"]: case["case_id"] for case in (await page(site["viewer"]))["data"]}
    biller = site["biller"]

    async def step(number: str, **body):
        answer = await biller.post(f"/v1/cases/{ids[number]}/steps", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    me = (await step("mine", kind="tag", tag="urgent"))["step"]["made_by"]
    await step("mine", kind="assign", assignee_id=me)
    await step("old", kind="tag", tag="urgent")
    await step("old", kind="untag", tag="urgent")

    async def mine(**query):
        return {case["claim_number"] for case in (await page(biller, **query))["data"]}

    assert await mine(assignee="me") == await mine(assignee=me) == {"mine"}
    assert await numbers(site, assignee="me") == set()
    assert await mine(assignee="none") == {"free", "old"}
    assert await mine(tag="urgent") == {"mine"}
    assert await mine(tag="other") == set()
    assert (await page(site["stranger"], tag="urgent"))["data"] == []


async def test_every_connection_is_open_before_anybody_asks(database):
    engine = create_engine(database.url("reprieve_tracker"), name="opened-at-once", pool_size=3)
    await open_for_lists(engine)
    async with transaction(engine) as connection:
        [found] = await rows(
            connection, "select count(*) from pg_stat_activity where application_name = 'opened-at-once'"
        )
    await engine.dispose()

    assert found.count == 3


async def test_a_database_that_is_not_migrated_does_not_stop_the_api_from_saying_so(database):
    engine = create_engine(database.url("reprieve_tracker"), name="test", pool_size=1)
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(text("drop schema tracker cascade"))
    await owner.dispose()

    assert await open_for_lists(engine) is None
    await engine.dispose()


def test_rows_are_read_by_their_places_so_lists_select_them_first():
    place = QueuePlace(datetime.now(UTC), 0)
    page, _ = page_query(Filters(), sort="priority")
    band, _ = band_query(0, me=UUID(int=1), after=place)

    assert [one.rpartition(" ")[2].removeprefix("c.") for one in COLUMNS.split(", ")] == list(LISTED)
    assert page.split("select ")[1].startswith(COLUMNS)
    assert band.partition(f"select {COLUMNS}, page.")[1]
