"""
Two people and the payer work on one claim at once, legally and not: nothing illegal is stored, nothing is lost.

Whatever happens, folding the remittances and the steps anew gives the rows that are stored, and the timeline
ends where the case stands.
"""

import asyncio
from datetime import date, timedelta
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.tracker.domain.fold import fold
from services.tracker.domain.requests import requests_of
from services.tracker.domain.states import CLOSINGS, ENDED_BY_ITSELF, LIVE_STATES, STATES
from services.tracker.store.claims import load_claim
from services.tracker.store.ledger import ClaimKey
from shared.contracts.claim import Adjustment
from shared.postgres import transaction
from tests.tracker.support import denial, outcome

DAY = "2026-02-01"
REQUESTS = st.sampled_from(
    [{"request": "retro_authorization"}, {"request": "appeal"}, {"request": "appeal", "level": 2}]
)
OUTCOMES = st.sampled_from(["approved", "partly_approved", "denied"])


def steps():
    def about(kind, **told):
        return st.builds(
            lambda request, told: {"kind": kind, **request, **told}, REQUESTS, st.fixed_dictionaries(told)
        )

    def alone(kind, **told):
        return st.fixed_dictionaries({"kind": st.just(kind), **told})

    day, words = st.just(DAY), st.just("x")
    return st.one_of(
        about("prepare"),
        about("submit", on=day, channel=st.just("fax")),
        about("submit", on=day, channel=st.just("fax"), duplicate_reason=words),
        about("information_requested", on=day, what=words, due_on=st.just("2026-03-01")),
        about("information_sent", on=day, channel=st.just("fax")),
        about("determine", on=day, outcome=OUTCOMES),
        about("withdraw", reason=words),
        alone("peer_to_peer", on=day, outcome=OUTCOMES | st.just("scheduled")),
        alone("corrected_claim_sent", on=day),
        alone("close", reason=st.sampled_from([one.reason for one in CLOSINGS]), note=words),
        alone("reopen", note=words),
        alone("follow_up_done", on=day, outcome=words),
        alone("tag", tag=st.sampled_from(["a", "b"])),
        alone("untag", tag=st.sampled_from(["a", "b"])),
        alone("note", note=words),
    )


REMITTANCES = st.sampled_from(["denied", "paid", "partly paid", "little", "zero", "reversed", "takeback"])
PEOPLE = st.tuples(steps(), steps(), st.sampled_from(["both named it", "one named it", "nobody named it"]))


def remittance(what: str, *, on: date, organization: UUID, key: UUID):
    told = {"on": on, "organization_id": organization, "claim_key": key}
    match what:
        case "denied":
            return denial(**told)
        case "paid":
            return outcome("paid", **told)
        case "partly paid":
            return outcome("paid", paid=40, **told)
        case "little":
            reduced = (Adjustment(group="CO", reason="45", amount=95),)
            return outcome("paid", paid=5, adjustments=reduced, **told)
        case "takeback":
            return outcome("reversed", paid=100, **told)
        case _:
            return outcome(what, **told)


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rounds=st.lists(PEOPLE | PEOPLE | REMITTANCES, min_size=3, max_size=9))
async def test_no_illegal_state_no_lost_update_and_the_timeline_replays(site, engine, record, select, rounds):
    key, day = uuid4(), date(2026, 1, 10)
    await record(denial(on=day, organization_id=site.organization, claim_key=key))
    [row] = await cases_of(select, site, key)
    path, taken = f"/v1/cases/{row.case_id}", 0
    for one in rounds:
        before = (await site["viewer"].get(path)).json()
        if isinstance(one, str):
            day += timedelta(days=1)
            told = remittance(one, on=day, organization=site.organization, key=key)
            work = [record(told), site["biller"].post(f"{path}/steps", json={"kind": "note", "note": "x"})]
            _, answer = await asyncio.gather(*work)
            assert answer.status_code == 201
            made = 1
        else:
            made = await both(site, path, before, one)
        taken += made
        await check(site, engine, select, path, key=key, taken=taken, version=before["version"] + made)


async def both(site, path, before, one) -> int:
    """Let two people act at once, each on what both saw; gives how many succeeded."""
    first, second, named = one
    seen = {"If-Match": f'"{before["version"]}"'}
    first_headers = {} if named == "nobody named it" else seen
    second_headers = seen if named == "both named it" else {}
    answers = await asyncio.gather(
        site["biller"].post(f"{path}/steps", json=first, headers=first_headers),
        site["supervisor"].post(f"{path}/steps", json=second, headers=second_headers),
    )
    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {201, 403, 409, 412}, [answer.text for answer in answers]
    if named == "both named it":
        assert codes.count(201) <= 1
    return codes.count(201)


async def check(site, engine, select, path, *, key, taken, version) -> None:
    async with transaction(engine, organizations=[site.organization]) as connection:
        known = await load_claim(connection, ClaimKey(site.organization, key))
    [case] = known.cases
    assert fold(known.observations, known.cases, steps=known.steps) == known.cases
    assert fold(known.observations, steps=known.steps) == known.cases  # from nothing as well
    assert case.steps_count == taken == len(known.steps)
    assert [one.number for one in known.steps] == list(range(1, taken + 1))
    assert case.state in STATES
    assert case.closed_reason not in ENDED_BY_ITSELF
    assert (case.state == "closed") is (case.closed_reason is not None)
    assert case.requests == requests_of(known.steps)
    if case.state not in LIVE_STATES:
        assert (case.deadlines, case.follow_up_on, case.information_due_at) == ((), None, None)
    if case.closed_reason != "recovered":
        assert (case.recovered_payer_amount, case.recovered_patient_amount) == (0, 0)
    [row] = await cases_of(select, site, key)
    assert row.version >= version
    entries = (await site["viewer"].get(f"{path}/timeline")).json()["data"]
    by_learning = [entry for entry in await learned(select, site, key, entries) if entry["state"]]
    assert (by_learning[-1]["state"], by_learning[-1]["closed_reason"]) == (case.state, case.closed_reason)


async def cases_of(select, site, key):
    return await select("select * from tracker.cases where claim_key = :key", site.organization, key=key)


async def learned(select, site, key, entries) -> list[dict]:
    """Sort by when we learned it: these remittances say that they were received long before they were recorded."""
    rows = await select(
        "select event_id, recorded_at from tracker.ledger where claim_key = :key", site.organization, key=key
    )
    recorded = {str(row.event_id): row.recorded_at.isoformat() for row in rows}

    def instant(entry):
        event = (entry["remittance"] or entry["decision"] or {}).get("event_id")
        return recorded[event] if event else entry["at"].replace("Z", "+00:00")

    return sorted(entries, key=instant)
