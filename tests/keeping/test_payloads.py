"""What was said about claims that ended long ago goes everywhere; what is open, unsettled or young stays."""

from datetime import date, timedelta
from uuid import uuid4

import msgspec
import pytest

from services import purge
from services.triage.store.decisions import DECISIONS, decisions_of
from services.triage.workers.deciding import PURGED
from shared.clock import now
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.kafka.outbox import MessageId
from shared.kafka.stamps import make_due
from shared.postgres import transaction
from shared.postgres.bundles import split
from tests.keeping.conftest import ORGANIZATION, Pair
from tests.triage.messages import adjudication, denial, fact

NOTHING = {"events": 0, "facts": 0, "decisions": 0, "ledger": 0, "cases": 0}


def paid(event: ClaimDenied, *, month: int) -> ClaimAdjudicated:
    later = adjudication(claim_key=event.claim_key, payer_date=date(2026, month, 1))
    return msgspec.structs.replace(later, paid_amount=event.charge_amount)


async def closed(pair: Pair) -> ClaimDenied:
    """A denial that was paid in full later."""
    event = denial()
    await pair.take(event)
    await pair.take(paid(event, month=4))
    [case] = await pair.select("select state from tracker.cases where claim_key = :key", key=event.claim_key)
    assert case.state == "closed"
    return event


async def test_a_claim_that_ended_loses_its_words_everywhere_and_keeps_ids_and_amounts(pair: Pair):
    event = await closed(pair)
    await pair.grow_old()
    before, cases = await pair.reconciled(), await pair.select("select * from tracker.cases")
    found = await pair.purge()

    assert (found.claims, await pair.words()) == (1, NOTHING)
    assert await pair.reconciled() == before
    [case] = await pair.select("select * from tracker.cases")
    assert (case.case_id, case.denied_amount, case.state) == (cases[0].case_id, 250, "closed")
    assert (case.claim_number, case.payer_claim_number, case.service_from) == ("", None, None)
    assert await pair.select("select * from triage.decisions_parcels") == []
    assert await pair.select("select 1 from triage.events_bundles") == []
    assert await pair.select("select 1 from tracker.ledger_bundles") == []
    async with transaction(pair.triage.engine, organizations=[ORGANIZATION]) as connection:
        assert await decisions_of(connection, [ORGANIZATION], event.event_id) == []
    assert (await pair.purge()).claims == 0


async def test_an_open_claim_keeps_its_words_though_they_lie_in_one_parcel_with_others(pair: Pair):
    ended, still_open = denial(), denial()
    await pair.take(ended, still_open)
    await pair.take(paid(ended, month=4))
    await pair.grow_old()
    await pair.purge()

    assert await pair.words() == {"events": 1, "facts": 0, "decisions": 1, "ledger": 1, "cases": 1}
    async with transaction(pair.triage.engine, organizations=[ORGANIZATION]) as connection:
        [kept] = await decisions_of(connection, [ORGANIZATION], still_open.event_id)
    assert str(still_open.event_id).encode() in kept.payload
    for table in ("triage.events", "tracker.ledger"):
        [bundle] = await pair.select(f"select payloads from {table}_bundles")
        about = [str(still_open.event_id).encode() in one for one in split(bundle.payloads) if one]
        assert about == [True]
    await pair.take(fact(still_open))
    assert [one.revision for one in await pair.triage.decisions(ORGANIZATION)] == [1, 2]


async def test_parcels_are_written_anew_without_what_went(pair: Pair):
    key = uuid4()  # one key is one shard, so that all of it is one parcel
    events = [denial(claim_key=key) for _ in range(3)]
    await pair.take(*events)
    await pair.grow_old()
    gone = events[1].event_id
    await pair.select(
        "update triage.events set bundle_id = null where event_id = :gone returning 1", gone=gone
    )
    await pair.purge()

    [parcel] = await pair.select("select messages, message_ids, types from triage.decisions_parcels")
    assert (parcel.messages, [one is None for one in parcel.message_ids]) == (2, [False, True, False])
    async with transaction(pair.triage.engine, organizations=[ORGANIZATION]) as connection:
        for event in events:
            kept = await decisions_of(connection, [ORGANIZATION], event.event_id)
            assert [str(event.event_id).encode() in one.payload for one in kept] == [True] * (
                event.event_id != gone
            )


@pytest.mark.parametrize("young", ["closed_at", "recorded_at"])
async def test_a_claim_stays_until_closing_and_last_word_are_both_old(pair: Pair, young: str):
    await closed(pair)
    await pair.grow_old()
    table = "cases" if young == "closed_at" else "ledger"
    await pair.select(f"update tracker.{table} set {young} = now() - interval '200 days' returning 1")

    assert (await pair.purge()).claims == 0
    assert (await pair.purge(now().date() - timedelta(days=100))).claims == 1


@pytest.mark.parametrize("state", ["unsettled", "parked"])
async def test_what_did_not_arrive_stays_on_both_sides(pair: Pair, state: str):
    await closed(pair)
    await pair.select("update triage.decisions set settled_at = null returning 1")
    if state == "parked":
        await pair.select("update triage.decisions set parked_at = now() returning 1")
    await pair.grow_old()
    before = await pair.words()
    await pair.purge()

    assert await pair.words() == before
    await pair.triage.settle_decisions(seconds_ago=100)
    await pair.purge()
    assert await pair.words() == NOTHING


async def test_a_fact_that_nobody_weighed_keeps_its_claim(pair: Pair):
    await closed(pair)
    await pair.grow_old()
    await pair.select(
        "insert into tracker.facts (organization_id, message_id, parcel_id, revision, size, place, case_id,"
        " kind, value, note, recorded_by, recorded_at) select organization_id, case_id, 0, 1, 1, 1, case_id,"
        " 'urgency', 'emergency', 'she called', case_id, now() from tracker.cases returning 1"
    )
    assert (await pair.purge()).claims == 0

    await pair.select("update tracker.facts set settled_at = now() returning 1")
    assert (await pair.purge()).claims == 1
    [kept] = await pair.select("select kind, value, note from tracker.facts")
    assert tuple(kept) == ("urgency", "", None)


async def test_an_old_message_that_comes_again_changes_nothing(pair: Pair):
    event = await closed(pair)
    await pair.grow_old()
    await pair.purge()
    before, cases = await pair.reconciled(), await pair.select("select * from tracker.cases")
    await pair.take(event, event)

    assert (await pair.words(), await pair.reconciled()) == (NOTHING, before)
    assert await pair.select("select * from tracker.cases") == cases
    [decision, *_] = await pair.select("select * from triage.decisions")
    async with transaction(pair.triage.engine, organizations=[ORGANIZATION]) as connection:
        again = [MessageId(ORGANIZATION, decision.message_id, decision.revision)]
        assert await make_due(connection, DECISIONS, again) == 0


async def test_a_new_denial_of_a_purged_claim_opens_a_case_of_its_own(pair: Pair):
    event = await closed(pair)
    await pair.grow_old()
    await pair.purge()
    [old] = await pair.select("select * from tracker.cases")
    await pair.take(adjudication(claim_key=event.claim_key, payer_date=date(2026, 5, 1)))
    assert await pair.select("select * from tracker.cases") == [old]
    await pair.take(denial(claim_key=event.claim_key, payer_date=date(2026, 6, 1)))

    first, second = await pair.select("select * from tracker.cases order by ordinal")
    assert (first, second.ordinal, second.state) == (old, 1, "open")
    await pair.take(paid(event, month=7))
    assert [one.state for one in await pair.select("select state from tracker.cases order by ordinal")] == [
        "closed",
        "closed",
    ]


async def test_a_fact_about_what_was_purged_is_laid_aside_and_says_why(pair: Pair):
    event = await closed(pair)
    await pair.grow_old()
    await pair.purge()
    await pair.take(fact(event))

    [receipt] = [one for told in pair.triage.producer.receipts for one in told.receipts]
    assert (receipt.outcome, receipt.reason) == ("parked", PURGED)


async def test_the_month_of_a_claim_that_is_still_open_opens(pair: Pair):
    event = denial()
    await pair.take(event)
    await pair.select(
        "insert into access.organizations (organization_id, name, time_zone, wrapped_index_key)"
        " values (:organization, 'a', 'America/New_York', '') returning 1",
        organization=ORGANIZATION,
    )
    months = ("2026-02-01", "2026-03-01")
    for month in months:
        await pair.select(
            "insert into access.data_keys (organization_id, month, wrapped_key)"
            " values (:organization, cast(cast(:month as text) as date), 'key') returning 1",
            organization=ORGANIZATION,
            month=month,
        )
    await pair.grow_old()
    kept = "select cast(month as text) from access.data_keys where wrapped_key is not null order by month"
    found = await pair.purge(date(2026, 6, 1))
    assert (found.months, [one[0] for one in await pair.select(kept)]) == (1, ["2026-03-01"])

    await pair.take(paid(event, month=4))
    await pair.grow_old()
    found = await pair.purge(date(2026, 6, 1))
    assert (found.months, found.claims, await pair.select(kept)) == (1, 1, [])


async def test_a_purge_that_is_cut_short_between_the_services_is_finished_by_the_next(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
):
    await closed(pair)
    await pair.grow_old()

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(purge.tracker, "empty_claims", killed)
    with pytest.raises(KeyboardInterrupt):
        await pair.purge()
    monkeypatch.undo()
    assert (await pair.words())["events"] == 0
    assert (await pair.words())["ledger"] == 2

    assert (await pair.purge()).claims == 1
    assert await pair.words() == NOTHING


async def test_more_claims_than_one_page_go_in_one_purge(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    from sqlalchemy import text

    from services.tracker.store import retention

    page = text(retention._PAGE.text.replace(f"limit {retention.CLAIMS_AT_ONCE}", "limit 2"))
    monkeypatch.setattr(retention, "_PAGE", page)
    for _ in range(5):
        await closed(pair)
    await pair.grow_old()

    assert (await pair.purge()).claims == 5
    assert await pair.words() == NOTHING
