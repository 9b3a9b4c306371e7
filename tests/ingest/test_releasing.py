"""What could not be read: listed, looked at without seeing whose it is, supplied by a person, read again."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.ingest.api.quarantine_views import Release
from services.ingest.domain import events as domain_events
from services.ingest.store.quarantine import count_quarantined
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.postgres.migrate import downgrade, upgrade
from tests.ingest.remittances import TestSet, denied, paid, remittance
from tests.ingest.site import Site
from tests.support.database import Database

GARBLED = "5OO"


def garbled(content: bytes, number: str = "A2") -> bytes:
    """Make the charge of a claim one that nobody can read."""
    wrong = content.replace(f"CLP*{number}*1*500*".encode(), f"CLP*{number}*1*{GARBLED}*".encode())
    assert wrong != content
    return wrong


async def listed(site: Site, who: str = "admin", **filters: Any) -> list[dict[str, Any]]:
    answer = await site.get("/v1/quarantine", who, **filters)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def release(site: Site, quarantine_id: str, who: str = "admin", **told: Any):
    body = {"reason": "the payer's portal says so", **told}
    return await site.client.post(
        f"/v1/quarantine/{quarantine_id}/release", json=body, headers=site.headers(who)
    )


async def replay(site: Site, who: str = "operator", **wanted: Any) -> dict[str, int]:
    answer = await site.client.post("/v1/replays", json=wanted, headers=site.headers(who))
    assert answer.status_code == 202, answer.text
    await site.read_due()
    return answer.json()


async def test_a_quarantined_claim_is_listed_and_shown_masked_and_the_look_is_audited(site: Site):
    await site.take_in(garbled(remittance(TestSet([denied("A1"), denied("A2"), paid("A3")]))))

    (one,) = await listed(site)
    assert (one["state"], one["position"], one["charge_amount"]) == ("quarantined", 2, None)
    assert [found["code"] for found in one["findings"]] == ["claim_unreadable"]
    assert one["findings"][0]["element"] == 3
    assert [row["quarantine_id"] for row in await listed(site, "operator")] == [one["quarantine_id"]]
    assert await count_quarantined(site.engine) == 1
    assert (await site.get(f"/v1/quarantine/{one['quarantine_id']}", "operator")).status_code == 403

    answer = await site.get(f"/v1/quarantine/{one['quarantine_id']}", "viewer")
    shown = {segment["segment_id"]: segment["elements"] for segment in answer.json()["segments"]}
    assert shown["CLP"] == ["•••", "1", "5XX", "0", "", "12", "•••", "11", "1"]
    assert shown["CAS"] == ["CO", "197", "500"]
    assert shown["SVC"][0] == "HC:99213"
    assert shown["DTM"] == ["472", "20260210"]
    for secret in ("A2", "PA2", "DOE", "JANE", "MEMBER123"):
        assert f'"{secret}"' not in answer.text
    assert (answer.json()["needed"], answer.json()["allowed"]) == (["charge_amount"], ["charge_amount"])
    (entry,) = await site.rows("select action, subject_id from ingest.audit_log")
    assert (entry.action, str(entry.subject_id)) == ("quarantine_opened", one["quarantine_id"])


async def test_a_claim_is_released_with_what_a_person_supplies_and_the_sums_agree(site: Site):
    await site.take_in(garbled(remittance(TestSet([denied("A1"), denied("A2"), paid("A3")]))))
    (before,) = await site.reconciled()
    assert (before["evented"], before["quarantined"]) == (1, 1)
    (one,) = await listed(site)

    assert (await release(site, one["quarantine_id"], "viewer", charge_amount="500")).status_code == 403
    assert (await release(site, one["quarantine_id"])).status_code == 422
    answer = await release(site, one["quarantine_id"], charge_amount="500", paid_amount="0")
    assert answer.status_code == 422
    assert "paid amount" in answer.json()["detail"]
    assert (await release(site, one["quarantine_id"], charge_amount="500")).status_code == 202
    await site.read_due()

    (after,) = await site.reconciled()
    assert (after["evented"], after["no_event"], after["quarantined"]) == (2, 1, 0)
    assert float(after["charge_read_amount"]) == 1500
    (freed,) = await listed(site)
    assert (freed["state"], freed["reason"]) == ("released", "the payer's portal says so")
    event = (await site.events())[-1]
    assert isinstance(event, ClaimDenied)
    assert (event.claim_number, event.charge_amount, event.supplied) == ("A2", 500, ("charge_amount",))
    assert str(event.event_id) == freed["event_id"]
    assert await count_quarantined(site.engine) == 0
    remittances = (await site.get("/v1/remittances", "viewer")).json()["data"]
    assert "claim_unreadable" in [found["code"] for found in remittances[0]["findings"]]


async def test_a_wrong_release_is_mended_by_another_as_a_higher_revision(site: Site):
    await site.take_in(garbled(remittance(TestSet([denied("A1"), denied("A2")]))))
    (one,) = await listed(site)
    await release(site, one["quarantine_id"], charge_amount="900")
    await site.read_due()
    await release(site, one["quarantine_id"], charge_amount="500")
    await site.read_due()

    first, second = [event for event in await site.events() if event.claim_number == "A2"]
    assert (first.event_id, first.revision, first.charge_amount) == (second.event_id, 1, 900)
    assert (second.revision, second.charge_amount) == (2, 500)
    assert first.balance_findings
    assert not second.balance_findings
    (sums,) = await site.reconciled()
    assert (sums["evented"], float(sums["charge_read_amount"])) == (2, 1000)


async def test_a_minus_is_taken_for_a_reversal_only_and_the_answer_says_what_a_claim_becomes(site: Site):
    content = remittance(TestSet([denied("A1"), paid("A2"), denied("A3")]))
    content = garbled(garbled(content), "A1").replace(b"CLP*A3*1*500*", b"CLP*A3*22*5OO*")
    await site.take_in(content)
    ids = {one["position"]: one["quarantine_id"] for one in await listed(site)}

    refused = await release(site, ids[1], charge_amount="-500")
    assert refused.status_code == 422
    assert "charge amount (CLP03)" in refused.json()["detail"]
    assert "without its minus" in refused.text
    assert (await site.get(f"/v1/quarantine/{ids[1]}", "viewer")).json()["becomes"] is None
    supplied = {1: "500", 2: "500", 3: "-500"}
    answers = {at: await release(site, ids[at], charge_amount=amount) for at, amount in supplied.items()}
    assert {at: (answer.status_code, answer.json().get("becomes")) for at, answer in answers.items()} == {
        1: (202, "denied"),
        2: (202, "adjudicated"),
        3: (202, "reversed"),
    }


async def test_a_released_payment_follows_the_denial_of_its_key_up(site: Site):
    await site.take_in(garbled(remittance(TestSet([paid("A2")], trace="T1"), control=1)))
    (one,) = await listed(site)
    assert (await release(site, one["quarantine_id"], charge_amount="500")).status_code == 202
    await site.read_due()
    assert await site.events() == []
    await site.take_in(remittance(TestSet([denied("A2")], trace="T2"), control=2))

    kinds = {type(event): event for event in await site.events()}
    assert set(kinds) == {ClaimDenied, ClaimAdjudicated}
    assert kinds[ClaimAdjudicated].supplied == ("charge_amount",)
    assert kinds[ClaimAdjudicated].claim_key == kinds[ClaimDenied].claim_key
    await site.reconciled()


async def test_what_a_newer_reader_can_read_becomes_an_event_and_the_rest_is_left_as_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    read_in_full = domain_events.Detail

    def detail(loop, delimiters):
        if loop.startswith(b"CLP*POISON"):
            raise IndexError
        return read_in_full(loop, delimiters)

    monkeypatch.setattr(domain_events, "Detail", detail)
    await site.take_in(remittance(TestSet([denied("A1"), denied("POISON"), paid("A3")])))
    await site.take_in(remittance(TestSet([denied("B1")], trace="T2"), control=2))
    before = await site.claims()
    monkeypatch.undo()

    assert await replay(site, quarantined=True) == {"asked": 1, "unreadable": 0}
    assert [event.claim_number for event in await site.events()] == ["A1", "B1", "POISON"]
    assert {event.revision for event in await site.events()} == {1}
    assert [claim for claim in await site.claims() if claim in before] == before
    assert [one["state"] for one in await listed(site)] == ["reread"]
    assert sorted(line["quarantined"] for line in await site.reconciled()) == [0, 0]
    assert await replay(site, quarantined=True) == {"asked": 0, "unreadable": 0}


async def test_another_reading_gets_a_higher_revision_of_the_same_event(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    read_in_full = domain_events.Detail

    def without_remarks(loop, delimiters):
        detail = read_in_full(loop, delimiters)
        if loop.startswith(b"CLP*A1"):
            detail.facts["facility_type"] = None
        return detail

    monkeypatch.setattr(domain_events, "Detail", without_remarks)
    content = remittance(TestSet([denied("A1"), denied("A2"), paid("A3")]))
    receipt = await site.take_in(content)
    await site.take_in(content.replace(b"*000000001", b"*000000009"))
    monkeypatch.undo()

    assert await replay(site, receipt_id=receipt["receipt_id"]) == {"asked": 1, "unreadable": 0}
    old, new = [event for event in await site.events() if event.claim_number == "A1"]
    assert (old.event_id, old.revision, old.facility_type) == (new.event_id, 1, None)
    assert (new.revision, new.facility_type) == (2, "11")
    assert len([event for event in await site.events() if event.claim_number == "A2"]) == 1
    assert sorted(line["duplicates"] for line in await site.reconciled()) == [0, 3]

    await site.take_in(content.replace(b"*000000001", b"*000000008"))
    assert sorted(line["duplicates"] for line in await site.reconciled()) == [0, 3, 3]
    assert len(await site.events()) == 3


async def test_reading_everything_again_changes_nothing(site: Site):
    content = remittance(
        TestSet([denied("A1"), paid("A2"), paid("A1", charge=70)]), TestSet([paid("B1")], trace="T2")
    )
    await site.take_in(content)
    await site.take_in(content.replace(b"*000000001", b"*000000009"))
    claims, events, sums = await site.claims(), await site.events(), await site.reconciled()

    for line in sums:
        await replay(site, remittance_id=line["remittance_id"])
    assert (await site.claims(), await site.events(), await site.reconciled()) == (claims, events, sums)
    assert await replay(site, outdated=True) == {"asked": 0, "unreadable": 0}


async def test_an_imbalance_is_named_to_the_cent_and_hides_no_denial(site: Site):
    content = remittance(TestSet([denied("A1")])).replace(b"CAS*CO*197*500", b"CAS*CO*197*499.5")
    receipt = await site.take_in(content)

    differences = {found["code"]: found["difference"] for found in receipt["findings"]}
    assert differences == {"line_out_of_balance": "-0.50", "claim_out_of_balance": "-0.50"}
    (event,) = await site.events()
    assert isinstance(event, ClaimDenied)
    assert [(found.level, str(found.difference)) for found in event.balance_findings] == [
        ("line", "-0.50"),
        ("claim", "-0.50"),
    ]
    wrong = await site.take_in(
        remittance(TestSet([paid("B1")], trace="T2"), control=2).replace(b"BPR*I*500", b"BPR*I*499.99")
    )
    assert [found["difference"] for found in wrong["findings"]] == ["-0.01"]


async def test_who_may_have_what_read_again(site: Site):
    await site.take_in(remittance(TestSet([denied("A1")])))
    (line,) = await site.reconciled()
    path = f"/v1/remittances/{line['remittance_id']}/replay"

    assert (await site.client.post(path, headers=site.headers("viewer"))).status_code == 403
    assert (await site.client.post(path, headers=site.headers("admin"))).json()["asked"] == 1
    unknown = path.replace(line["remittance_id"], str(site.organization_id))
    assert (await site.client.post(unknown, headers=site.headers("admin"))).status_code == 404
    twice = {"quarantined": True, "outdated": True}
    assert (
        await site.client.post("/v1/replays", json=twice, headers=site.headers("admin"))
    ).status_code == 422


async def dismiss(site: Site, quarantine_id: str, who: str = "admin", **told: Any):
    return await site.client.post(
        f"/v1/quarantine/{quarantine_id}/dismiss", json=told, headers=site.headers(who)
    )


async def test_a_dismissed_claim_waits_no_more_and_is_counted_apart_until_it_is_released(site: Site):
    await site.take_in(garbled(remittance(TestSet([denied("A1"), denied("A2"), paid("A3")]))))
    (one,) = await listed(site)
    why = {"reason": "the payer sent it again"}

    assert (await dismiss(site, one["quarantine_id"], "viewer", **why)).status_code == 403
    assert (await dismiss(site, one["quarantine_id"])).status_code == 422
    assert (await dismiss(site, one["quarantine_id"], reason="a\x00b")).status_code == 422
    told = (await dismiss(site, one["quarantine_id"], **why)).json()
    assert (told["state"], told["reason"]) == ("dismissed", why["reason"])
    assert told["dismissed_at"] is not None
    (entry,) = await site.rows("select * from ingest.audit_log where action = 'quarantine_dismissed'")
    assert (str(entry.subject_id), str(entry.principal_id)) == (one["quarantine_id"], told["dismissed_by"])
    assert await listed(site, state="quarantined") == []
    assert await count_quarantined(site.engine) == 0
    (sums,) = await site.reconciled()
    assert (sums["evented"], sums["quarantined"], sums["dismissed"]) == (1, 0, 1)
    await replay(site, remittance_id=one["remittance_id"])  # the same reader cannot read it either
    assert [row["state"] for row in await listed(site)] == ["dismissed"]

    released = await release(site, one["quarantine_id"], charge_amount="500")
    assert (released.status_code, released.json()["dismissed_by"]) == (202, None)
    assert (await dismiss(site, one["quarantine_id"], **why)).status_code == 409
    await site.read_due()
    assert [row["state"] for row in await listed(site)] == ["released"]
    assert (await dismiss(site, one["quarantine_id"], **why)).status_code == 409
    (sums,) = await site.reconciled()
    assert (sums["evented"], sums["quarantined"], sums["dismissed"]) == (2, 0, 0)


async def test_going_back_before_dismissals_lets_the_claim_wait_again(site: Site, database: Database):
    await site.take_in(garbled(remittance(TestSet([denied("A1"), denied("A2")]))))
    (one,) = await listed(site)
    await dismiss(site, one["quarantine_id"], reason="sent again")
    await site.engine.dispose()

    await asyncio.to_thread(downgrade, database.owner, "0012")
    await asyncio.to_thread(upgrade, database.owner)

    (after,) = await listed(site)
    assert (after["state"], after["reason"], after["dismissed_by"]) == ("quarantined", "sent again", None)
    assert await count_quarantined(site.engine) == 1


@pytest.mark.parametrize(
    "amount", ["1e3", "5E2", "NaN", "Infinity", "500.001", "+500", "500.", "5,00", 500.5]
)
def test_an_amount_is_a_plain_decimal_with_two_places_at_most(amount: str | float):
    with pytest.raises(ValidationError, match=r"500\.00"):
        Release.model_validate({"reason": "the portal", "charge_amount": amount})


@pytest.mark.parametrize("amount", ["500", "500.5", "-500.25", "0", 500])
def test_plain_amounts_are_taken(amount: str | int):
    told = Release.model_validate({"reason": "the portal", "charge_amount": amount})

    assert told.charge_amount == Decimal(str(amount))
