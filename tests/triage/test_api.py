"""triage's API: rules for everybody, decisions for their organization, ids and sums for a reconciliation."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

import httpx2
import pytest

from services.triage.app import api
from services.triage.store import reconciliation
from shared.contracts.denial_triaged import DenialTriaged
from shared.kafka.parcels import payloads_of
from shared.postgres import create_engine
from shared.security.administration import create_organization, create_principal_with_key, create_submitter
from shared.security.sealing import MasterKey
from tests.support.database import Database
from tests.triage.conftest import Triage
from tests.triage.messages import adjudication, denial, fact


@dataclass
class Api:
    """The API with a key per role, of two organizations."""

    client: httpx2.AsyncClient
    keys: dict[str, str]
    mine: UUID
    theirs: UUID

    async def get(self, path: str, role: str, **query: str) -> httpx2.Response:
        return await self.client.get(
            path, params=query, headers={"Authorization": f"Bearer {self.keys[role]}"}
        )

    async def lines(self, role: str, **query: str) -> list[dict]:
        answer = await self.get("/v1/reconciliation/decisions", role, **query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
async def served(triage: Triage, database: Database) -> AsyncIterator[Api]:
    owner = create_engine(database.owner, name="owner")
    master_key = MasterKey(bytes(32))
    organizations = [
        await create_organization(owner, name=name, time_zone="America/Chicago", master_key=master_key)
        for name in ("Mine", "Theirs")
    ]
    mine, theirs = (one.organization_id for one in organizations)
    submitter = await create_submitter(owner, name="House")
    keys = {}
    for role in ("viewer", "auditor", "operator", "submitter"):
        place = {"submitter": {"submitter_id": submitter.submitter_id}, "operator": {}}.get(
            role, {"organization_id": mine}
        )
        keys[role] = (await create_principal_with_key(owner, role=role, name=role, **place)).text
    await owner.dispose()
    transport = httpx2.ASGITransport(app=api(triage.engine, triage.rules.policies.reference))
    async with httpx2.AsyncClient(transport=transport, base_url="http://triage") as client:
        yield Api(client, keys, mine, theirs)


async def test_every_role_reads_the_policies_and_the_codes(served: Api):
    listed = (await served.get("/v1/policies", "submitter")).json()["data"]
    codes = (await served.get("/v1/codes", "operator")).json()

    assert {"id", "version", "status", "payer_names", "clocks"} <= listed[0].keys()
    assert (
        next(row for row in codes["reason_codes"] if row["code"] == "197")["category"]
        == "authorization_absent"
    )


async def test_a_policy_is_given_as_its_file_has_it(served: Api):
    listed = (await served.get("/v1/policies", "viewer")).json()["data"]
    for one in listed:
        (version,) = (await served.get(f"/v1/policies/{one['id']}", "viewer")).json()["versions"]
        assert version["sources"]
        assert len(version["clocks"]) == len(one["clocks"])
    assert (await served.get("/v1/policies/no-such-payer", "viewer")).status_code == 404


async def test_strangers_read_nothing(served: Api):
    for path in ("/v1/policies", "/v1/codes", "/v1/reconciliation/decisions", f"/v1/decisions/{uuid4()}"):
        assert (await served.client.get(path)).status_code == 401


async def test_the_decisions_of_an_event_are_shown_to_its_organization_only(served: Api, triage: Triage):
    event = denial(organization_id=served.mine)
    secret = denial(organization_id=served.theirs)
    await triage.handle(event, secret)
    await triage.handle(fact(event))
    answer = await served.get(f"/v1/decisions/{event.event_id}", "viewer")

    assert [one["decision_revision"] for one in answer.json()["decisions"]] == [2, 1]
    assert answer.json()["decisions"][0]["decision"]["claim_number"] == "INVENTED1"
    assert (await served.get(f"/v1/decisions/{secret.event_id}", "viewer")).status_code == 404
    for role in ("operator", "submitter"):
        assert (await served.get(f"/v1/decisions/{event.event_id}", role)).status_code == 403


async def test_a_reconciliation_line_has_the_sums_and_the_state_of_the_latest_decision(
    served: Api, triage: Triage
):
    event = denial(organization_id=served.mine)
    await triage.handle(event, adjudication(organization_id=served.mine, claim_key=event.claim_key))
    await triage.handle(fact(event))
    await triage.park_decisions(served.mine)
    lines = {line["event_id"]: line for line in await served.lines("auditor")}
    line = lines[str(event.event_id)]

    assert len(lines) == 2
    assert (line["decisions"], line["latest_decision_revision"]) == (2, 2)
    assert (line["state"], line["parked_reason"]) == ("parked", "KeyError")
    assert (line["charge_amount"], line["denied_amount"]) == ("250.00", "250.00")
    assert {line["denied_amount"] for line in lines.values()} == {"250.00", "0"}


async def test_the_operator_sees_every_organization_in_order_and_others_their_own(
    served: Api, triage: Triage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reconciliation, "PAGE_ROWS", 3)
    events = [denial(organization_id=one) for one in (served.mine, served.theirs) for _ in range(7)]
    events += [
        denial(organization_id=one.organization_id, event_id=one.event_id, revision=2) for one in events[:2]
    ]
    await triage.handle(*events)
    seen = [
        (UUID(one["organization_id"]), UUID(one["event_id"]), one["revision"])
        for one in await served.lines("operator")
    ]

    assert seen == sorted((one.organization_id, one.event_id, one.revision) for one in events)
    assert {one["organization_id"] for one in await served.lines("auditor")} == {str(served.mine)}
    assert (await served.get("/v1/reconciliation/decisions", "viewer")).status_code == 403


async def test_since_leaves_out_what_was_seen_before(served: Api, triage: Triage):
    old, new = denial(organization_id=served.mine), denial(organization_id=served.mine)
    await triage.handle(old, new)
    await triage.change(
        "update triage.events set seen_at = '2026-01-31T23:59:59Z' where event_id = :id",
        served.mine,
        id=old.event_id,
    )

    assert [one["event_id"] for one in await served.lines("operator", since="2026-02-01")] == [
        str(new.event_id)
    ]
    assert len(await served.lines("operator", since="2026-01-31")) == 2


async def test_a_parked_decision_is_listed_and_replayed(served: Api, triage: Triage):
    event = denial(organization_id=served.mine)
    await triage.handle(event)
    await triage.change("update triage.decisions_parcels set attempts = 1", served.mine)
    await triage.park_decisions(served.mine)
    listed = (await served.get("/v1/parked", "operator")).json()["data"]
    answer = await served.client.post(
        "/v1/parked/replay",
        json={"all": True},
        headers={"Authorization": f"Bearer {served.keys['operator']}"},
    )

    assert [(one["type"], one["reason"]) for one in listed] == [("DenialTriaged", "KeyError")]
    assert answer.json() == {"made_due": 1}
    assert [one.parked_at for one in await triage.decisions(served.mine)] == [None]


async def test_a_stored_decision_reads_back_as_the_event_that_the_tracker_gets(triage: Triage):
    import msgspec

    event = denial()
    await triage.handle(event)
    (row,) = await triage.rows("select payloads, ends from triage.decisions_parcels")
    told = msgspec.json.decode(payloads_of(row)[0], type=DenialTriaged)

    assert (told.event_id, told.charge_amount, told.denied) == (
        event.event_id,
        Decimal("250.00"),
        event.denied,
    )


async def test_what_was_decided_about_a_purged_event_is_said_to_be_gone(served: Api, triage: Triage):
    event = denial(organization_id=served.mine)
    await triage.handle(event)
    await triage.change("update triage.decisions set parcel_id = 0", served.mine)
    answer = await served.get(f"/v1/decisions/{event.event_id}", "viewer")

    assert answer.status_code == 409
    assert "was purged" in answer.json()["detail"]
