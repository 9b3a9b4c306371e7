"""What ingest answers to a reconciliation: ordered, complete, behind the walls."""

from datetime import timedelta
from uuid import UUID

import msgspec

from services.ingest.domain.findings import finding
from services.ingest.store import reconciliation
from services.ingest.store.events import CLAIM_EVENTS
from services.ingest.workers.staging import KEPT_FINDINGS, FindingList
from shared.clock import now
from shared.kafka.outbox import MessageId
from shared.kafka.stamps import park_messages, settle_messages
from shared.postgres import transaction
from shared.security import administration
from shared.security.sealing import MasterKey
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, paid, remittance
from tests.ingest.site import MASTER_KEY_TEXT, Site


async def lines(site: Site, what: str, who: str = "operator", **params) -> list[dict]:
    answer = await site.get(f"/v1/reconciliation/{what}", who, **params)
    assert answer.status_code == 200, answer.text
    return [msgspec.json.decode(line) for line in answer.text.splitlines()]


async def test_events_come_in_the_order_of_their_keys_over_all_pages(site: Site, monkeypatch):
    monkeypatch.setattr(reconciliation, "_EVENTS_AT_ONCE", 7)
    monkeypatch.setattr(reconciliation, "_REMITTANCES_AT_ONCE", 2)
    await site.take_in(
        remittance(*(TestSet([denied(f"A{s}-{n}") for n in range(6)], trace=f"T{s}") for s in range(5)))
    )

    events = await lines(site, "events")
    keys = [(UUID(one["organization_id"]), UUID(one["event_id"]), one["revision"]) for one in events]
    assert len(keys) == len(set(keys)) == 30
    assert keys == sorted(keys)
    assert {one["state"] for one in events} == {"open"}
    assert {one["denied_amount"] for one in events} == {"500"}
    assert len(await site.reconciled()) == 5


async def test_states_are_told_apart(site: Site):
    for n in range(4):  # in files of their own: what comes together may be one parcel, with one due time
        await site.take_in(remittance(TestSet([denied(f"A{n}")], trace=f"T{n}"), control=n + 1))
    found = await site.rows("select * from ingest.claim_events order by message_id")
    settled, parked, staged, _ = (
        MessageId(one.organization_id, one.message_id, one.revision) for one in found
    )
    async with transaction(site.engine, organizations=[site.organization_id]) as connection:
        await settle_messages(connection, CLAIM_EVENTS, [settled])
        await park_messages(connection, CLAIM_EVENTS, [parked], reason="ValueError")
    await site.rows(
        "update ingest.claim_events_parcels set due_at = 'infinity' where :id = any(message_ids) returning 1",
        id=staged.message_id,
    )

    events = await lines(site, "events")
    assert [one["state"] for one in events] == ["settled", "parked", "staged", "open"]
    assert [one["parked_reason"] for one in events] == [None, "ValueError", None, None]


async def test_one_remittance_or_one_time_can_be_asked_for(site: Site):
    await site.take_in(
        remittance(TestSet([denied("A1"), paid("A2")], trace="T1"), TestSet([denied("B1")], trace="T2"))
    )
    first, _ = await site.reconciled()

    assert await lines(site, "remittances", remittance_id=first["remittance_id"]) == [first]
    only = await lines(site, "events", remittance_id=first["remittance_id"])
    assert {one["remittance_id"] for one in only} == {first["remittance_id"]}
    today = now().date()
    assert len(await lines(site, "events", since=str(today - timedelta(days=1)))) == 2
    assert await lines(site, "events", since=str(today + timedelta(days=1))) == []


async def test_sums_stay_behind_the_organizations_wall(site: Site):
    await site.take_in(remittance(TestSet([denied("A1")])))
    other = await administration.create_organization(
        site.owner, name="Another Clinic", time_zone="UTC", master_key=MasterKey.from_text(MASTER_KEY_TEXT)
    )
    key = await administration.create_principal_with_key(
        site.owner, role="admin", name="admin", organization_id=other.organization_id
    )
    site.keys["stranger"] = key.text

    assert len(await lines(site, "events", "admin")) == 1
    assert await lines(site, "events", "stranger") == []
    assert await lines(site, "remittances", "stranger") == []
    for who in ("viewer", "submitter"):
        assert (await site.get("/v1/reconciliation/events", who)).status_code == 403


async def test_files_that_ingest_did_not_finish_are_told_with_what_is_held(
    same_day: None, site: Site, monkeypatch
):
    monkeypatch.setattr(reconciliation, "_RECEIPTS_AT_ONCE", 2)
    held = await site.take_in(
        remittance(
            TestSet([denied("A1")], trace="T1"),
            TestSet([denied("B1"), denied("B2", charge=75)], trace="T2", npi=OTHER_NPI),
            TestSet([paid("C1")], trace="T3", npi=OTHER_NPI),
            control=1,
        )
    )
    await site.take_in(remittance(TestSet([denied("D1")], trace="T4"), control=2))
    refused = await site.take_in(b"no remittance")
    defect = await site.take_in(remittance(TestSet([denied("E1")], trace="T5"), control=3))
    await site.rows(
        "update ingest.receipts set status = 'refused', refused_reason = 'defect', failures = 5"
        " where receipt_id = :receipt_id returning 1",
        receipt_id=defect["receipt_id"],
    )
    waiting = (await site.push(remittance(TestSet([denied("F1")], trace="T6")), who="other")).json()

    found = {line["receipt_id"]: line for line in await lines(site, "receipts")}
    assert set(found) == {held["receipt_id"], defect["receipt_id"], waiting["receipt_id"]}
    assert refused["receipt_id"] not in found
    first = found[held["receipt_id"]]
    assert first.pop("received_at").startswith(str(now().year))
    assert first == {
        "receipt_id": held["receipt_id"],
        "submitter_id": str(site.submitter_id),
        "status": "processed",
        "refused_reason": None,
        "failures": 0,
        "held_sets": 2,
        "held_claims": 3,
        "held_charge_amount": "1075",
    }
    given_up = found[defect["receipt_id"]]
    assert (given_up["status"], given_up["refused_reason"], given_up["failures"]) == ("refused", "defect", 5)
    assert (given_up["held_sets"], given_up["held_charge_amount"]) == (0, "0")
    assert found[waiting["receipt_id"]]["status"] == "received"

    tomorrow = now().date() + timedelta(days=1)
    assert await lines(site, "receipts", since=str(tomorrow)) == []
    for who in ("admin", "viewer", "submitter"):
        assert (await site.get("/v1/reconciliation/receipts", who)).status_code == 403


async def test_a_cut_remittance_is_named_until_a_whole_one_of_its_trace_came(site: Site):
    whole = remittance(TestSet([denied("A1"), denied("A2")], trace="T1"))
    receipt = await site.take_in(whole[: whole.rindex(b"CAS*")])
    await site.take_in(remittance(TestSet([denied("B1")], trace="T2"), control=2))

    assert receipt["truncated"]
    assert sorted(line["cut"] for line in await site.reconciled()) == [False, True]
    assert not (await site.take_in(whole))["truncated"]
    assert {line["cut"] for line in await site.reconciled()} == {False}


def test_that_a_file_was_cut_is_kept_behind_any_number_of_findings():
    found = FindingList()
    found.add([finding("empty_segment")] * 10_000)
    found.add([finding("set_truncated"), finding("set_truncated"), finding("interchange_truncated")])

    assert [one.code for one in found.kept[KEPT_FINDINGS:]] == ["set_truncated", "interchange_truncated"]
    assert found.count == 10_003
