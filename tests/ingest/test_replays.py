"""Reading again, where it is interrupted, meets other readings, or meets a schema that went back and forth."""

import asyncio

import pytest

from services.ingest.domain import events as domain_events
from services.ingest.domain import loop, plain
from services.ingest.workers import batches, files, restaging
from services.triage.domain.classification import classify
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.postgres.migrate import downgrade, upgrade
from tests.ingest.remittances import TestSet, denied, paid, remittance
from tests.ingest.site import Site
from tests.support.database import Database


class Killed(BaseException):
    """What a killed process is to the code that it runs."""


async def ask(site: Site) -> None:
    for line in await site.reconciled():
        answer = await site.client.post(
            f"/v1/remittances/{line['remittance_id']}/replay", headers=site.headers("operator")
        )
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("after", range(1, 4))
async def test_a_replay_that_is_cut_short_is_done_again_and_sends_nothing_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch, after: int
):
    cut = batches.steps
    monkeypatch.setattr(files, "steps", lambda items: cut(items, batch_claims=2))
    read_in_full = domain_events.Detail

    def without_place(segments, delimiters):
        detail = read_in_full(segments, delimiters)
        detail.facts["facility_type"] = None
        return detail

    with monkeypatch.context() as older:
        older.setattr(domain_events, "Detail", without_place)
        await site.take_in(remittance(TestSet([denied(f"A{n}") for n in range(5)])))
    await ask(site)
    real, seen = restaging.transaction, 0

    def dying(*arguments, **scope):
        nonlocal seen
        seen += 1
        if seen == after:
            raise Killed
        return real(*arguments, **scope)

    with monkeypatch.context() as killing:
        killing.setattr(restaging, "transaction", dying)
        with pytest.raises(Killed):
            await site.read_due()
    await site.read_due()

    found = await site.events()
    assert sorted((one.claim_number, one.revision) for one in found) == [
        (f"A{n}", revision) for n in range(5) for revision in (1, 2)
    ]
    await site.reconciled()
    assert await site.rows("select 1 from ingest.remittances where replay_asked_at is not null") == []


async def test_a_reading_of_another_kind_supersedes_the_denial_and_makes_no_second_claim(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    content = remittance(TestSet([denied("A1", reason="45", charge=500, paid=100), paid("A2")]))
    with monkeypatch.context() as older:
        for reading in (loop, plain):
            older.setattr(reading, "ORDINARY_REASONS", frozenset())
        await site.take_in(content)
        await site.take_in(content.replace(b"*000000001", b"*000000002"))
    (first,) = await site.events()
    assert isinstance(first, ClaimDenied)
    await ask(site)
    await site.read_due()

    _, second = await site.events()
    assert isinstance(second, ClaimAdjudicated)
    assert (second.event_id, second.revision) == (first.event_id, 2)
    assert len(await site.claims()) == 2
    sums = await site.reconciled()
    assert sorted((line["evented"], line["no_event"], line["duplicates"]) for line in sums) == [
        (0, 0, 2),
        (1, 1, 0),
    ]
    assert {line["denied_amount"] for line in sums} == {"0"}


async def test_lines_that_fell_with_an_unauthorized_line_are_flagged(site: Site):
    segments = (
        "CLP*A1*4*150*0**12*P1*11*1~SVC*HC:99213*100*0~CAS*CO*197*100~"
        "SVC*HC:99214*40*0~CAS*CO*97*40~SVC*HC:99215*10*0~CAS*CO*B15*10~"
    )
    content = remittance(TestSet([paid("B1")])).replace(b"SE*", (segments + "SE*").encode())
    await site.take_in(content)

    (event,) = await site.events()
    assert isinstance(event, ClaimDenied)
    found = classify(event)
    assert [(item.reason, item.dependent) for item in found.items] == [
        ("197", False),
        ("97", True),
        ("B15", True),
    ]
    assert found.amount_at_stake == 150


async def test_going_back_a_schema_and_forth_loses_no_claim_and_no_event(site: Site, database: Database):
    content = remittance(TestSet([denied("A1"), paid("A2")])).replace(b"CLP*A2*1*500", b"CLP*A2*1*5OO")
    await site.take_in(content)
    before = [(one.event_id, one.revision, one.charge_amount) for one in await site.claims()]
    await site.engine.dispose()

    await asyncio.to_thread(downgrade, database.owner, "0008")
    await asyncio.to_thread(upgrade, database.owner)
    assert [(one.event_id, one.revision, one.charge_amount) for one in await site.claims()] == before
    # What was quarantined is counted still; reading again gives it its row.
    await ask(site)
    await site.read_due()
    assert [one["state"] for one in (await site.get("/v1/quarantine", "admin")).json()["data"]] == [
        "quarantined"
    ]
    assert [line["quarantined"] for line in await site.reconciled()] == [1]
