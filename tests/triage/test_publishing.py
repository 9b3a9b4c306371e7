"""Policies through time: drafts, publication, who may, and that every process decides by what is in force."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest

from services.audit import verdicts
from services.triage.app import api
from services.triage.policies import policy_texts
from services.triage.store.policy_sets import INSTALLATION, PolicySets
from services.triage.store.policy_versions import keep_reference
from services.triage.workers.deciding import Rules
from shared.calendars import Calendar
from shared.postgres import create_engine, transaction
from shared.security.administration import create_organization, create_principal_with_key
from shared.security.sealing import MasterKey
from tests.support.database import Database
from tests.triage.conftest import SHIPPED, RecordingProducer, Triage
from tests.triage.messages import denial, fact
from tests.triage.policies import draft, policy_text


@dataclass
class Site:
    """Two organizations with an admin each, an operator, and the API before a real database."""

    client: httpx2.AsyncClient
    keys: dict[str, str]
    mine: UUID
    theirs: UUID
    triage: Triage

    async def call(self, method: str, path: str, role: str = "admin", **json: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.keys[role]}"}
        body = json if method in {"PUT", "POST"} else None
        return await self.client.request(method, path, json=body, headers=headers)

    async def publish(self, text: str, role: str = "admin", *, based_on: int = 0) -> int:
        """Send a policy and put it in force; gives its number."""
        sent = await self.call("PUT", "/v1/policies/invented", role, **draft(text, based_on=based_on))
        assert sent.status_code == 201, sent.text
        number = sent.json()["number"]
        path = f"/v1/policies/invented/versions/{number}/publish"
        answer = await self.call("POST", path, role, reason="checked by hand")
        assert answer.status_code == 200, answer.text
        return number

    async def in_force(self, role: str = "admin") -> list[tuple[str, str, int | None]]:
        listed = (await self.call("GET", "/v1/policies", role)).json()["data"]
        return [(one["version"], one["layer"], one["number"]) for one in listed if one["id"] == "invented"]

    async def decide(self, organization: UUID | None = None) -> list[tuple[str, str]]:
        """Let triage decide a new denial; gives policy and version of its clocks."""
        event = denial(organization_id=organization or self.mine)
        await self.triage.handle(event)
        (made,) = [
            one
            for one in await self.triage.decisions(event.organization_id)
            if one.event_id == event.event_id
        ]
        return [(clock["policy_id"], clock["policy_version"]) for clock in made.payload.get("clocks", ())]


@pytest.fixture
async def site(triage: Triage, database: Database) -> AsyncIterator[Site]:
    owner = create_engine(database.owner, name="owner")
    made = [
        await create_organization(
            owner, name=name, time_zone="America/Chicago", master_key=MasterKey(bytes(32))
        )
        for name in ("Mine", "Theirs")
    ]
    mine, theirs = (one.organization_id for one in made)
    keys = {}
    for name, role, place in (
        ("admin", "admin", {"organization_id": mine}),
        ("biller", "biller", {"organization_id": mine}),
        ("stranger", "admin", {"organization_id": theirs}),
        ("operator", "operator", {}),
    ):
        keys[name] = (await create_principal_with_key(owner, role=role, name=name, **place)).text
    await owner.dispose()
    transport = httpx2.ASGITransport(app=api(triage.engine, SHIPPED))
    async with httpx2.AsyncClient(transport=transport, base_url="http://triage") as client:
        yield Site(client, keys, mine, theirs, triage)


async def test_a_published_policy_decides_the_next_denial_and_a_draft_does_not(site: Site):
    assert ("invented", "1") not in await site.decide()

    await site.call("PUT", "/v1/policies/invented", **draft(policy_text()))
    assert ("invented", "1") not in await site.decide()

    await site.publish(policy_text(days=21, version="2"), based_on=1)
    assert ("invented", "2") in await site.decide()
    assert await site.in_force() == [("2", "organization", 2)]


async def test_what_an_organization_publishes_stays_behind_its_wall(site: Site):
    number = await site.publish(policy_text())

    assert ("invented", "1") not in await site.decide(site.theirs)
    assert await site.in_force("stranger") == []
    assert (await site.call("GET", "/v1/policies/invented", "stranger")).status_code == 404
    for role in ("stranger", "operator"):
        path = f"/v1/policies/invented/versions/{number}"
        assert (await site.call("GET", path, role)).status_code == 404
        assert (await site.call("POST", f"{path}/retire", role, reason="not mine")).status_code == 404
    assert await site.in_force() == [("1", "organization", 1)]


async def test_what_the_operator_publishes_is_in_force_everywhere_under_an_organizations_own(site: Site):
    await site.publish(policy_text(version="everywhere"), "operator")
    assert ("invented", "everywhere") in await site.decide(site.theirs)

    await site.publish(policy_text(version="ours", days=22))
    assert ("invented", "ours") in await site.decide()
    assert ("invented", "everywhere") in await site.decide(site.theirs)

    await site.call("POST", "/v1/policies/invented/versions/1/retire", reason="it was wrong")
    assert ("invented", "everywhere") in await site.decide()


async def test_drafts_of_the_operator_are_not_shown_to_organizations(site: Site):
    await site.call("PUT", "/v1/policies/invented", "operator", **draft(policy_text()))

    assert (await site.call("GET", "/v1/policies/invented")).status_code == 404
    assert (await site.call("GET", "/v1/policies/invented", "operator")).json()["history"]


async def test_two_workers_decide_by_a_change_with_their_next_batch(site: Site, database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="another-worker")
    rules = Rules(policies=PolicySets(SHIPPED), calendar=Calendar())
    other = Triage(engine, RecordingProducer(), rules)
    try:
        for triage in (site.triage, other):
            await triage.handle(denial(organization_id=site.mine))
        await site.publish(policy_text())
        events = [denial(organization_id=site.mine) for _ in range(2)]
        await asyncio.gather(site.triage.handle(events[0]), other.handle(events[1]))
        versions = {
            clock["policy_version"]
            for one in await other.decisions(site.mine)
            if one.event_id in {event.event_id for event in events}
            for clock in one.payload["clocks"]
            if clock["policy_id"] == "invented"
        }
    finally:
        await engine.dispose()

    assert versions == {"1"}


async def test_a_batch_that_is_under_way_decides_all_of_it_by_one_set(site: Site):
    events = [denial(organization_id=site.mine) for _ in range(200)]
    streaming = asyncio.gather(*(site.triage.handle(*events[at : at + 20]) for at in range(0, 200, 20)))
    await site.publish(policy_text())
    await streaming
    found = await site.triage.decisions(site.mine)
    by_batch: dict[Any, set[bool]] = {}
    for one in found:
        ours = any(clock["policy_id"] == "invented" for clock in one.payload["clocks"])
        by_batch.setdefault(one.created_at, set()).add(ours)

    assert len(found) == 200
    assert all(len(kinds) == 1 for kinds in by_batch.values())


async def test_of_two_who_change_the_same_version_the_second_is_told(site: Site):
    texts = [policy_text(version=word) for word in ("a", "b")]
    answers = await asyncio.gather(
        *(site.call("PUT", "/v1/policies/invented", **draft(text)) for text in texts)
    )

    assert sorted(one.status_code for one in answers) == [201, 409]
    assert "number 1" in next(one for one in answers if one.status_code == 409).json()["detail"]


async def test_sending_the_same_draft_again_gives_the_same_number(site: Site):
    first, again = [await site.call("PUT", "/v1/policies/invented", **draft(policy_text())) for _ in range(2)]

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["number"] == again.json()["number"] == 1


async def test_of_concurrent_publications_of_one_draft_one_succeeds(site: Site):
    await site.call("PUT", "/v1/policies/invented", **draft(policy_text()))
    path = "/v1/policies/invented/versions/1/publish"
    answers = await asyncio.gather(*(site.call("POST", path, reason="at once") for _ in range(4)))

    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    (row,) = await site.triage.rows(
        "select version from triage.policy_sets where organization_id = :one", site.mine, one=site.mine
    )
    assert row.version == 1


async def test_a_draft_older_than_what_is_published_is_not_published(site: Site):
    await site.call("PUT", "/v1/policies/invented", **draft(policy_text()))
    await site.publish(policy_text(version="2"), based_on=1)
    answer = await site.call("POST", "/v1/policies/invented/versions/1/publish", reason="late")

    assert answer.status_code == 409


async def test_a_policy_that_is_wrong_is_refused_with_each_key(site: Site):
    text = policy_text().replace('"calendar_days"', '"fortnights"').replace('"America/Chicago"', '"Mars"')
    answer = await site.call("PUT", "/v1/policies/invented", **draft(text))
    problem = answer.json()

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "clocks[1].unit" in {one["field"] for one in problem["errors"]}
    for path, text in (("other", policy_text()), ("invented", "id = ")):
        answer = await site.call("PUT", f"/v1/policies/{path}", **draft(text))
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (
            422,
            "id" if path == "other" else "content",
        )


async def test_a_policy_whose_worked_example_does_not_come_out_is_not_published(site: Site):
    await site.call("PUT", "/v1/policies/invented", **draft(policy_text(deadline="2026-02-09")))
    answer = await site.call("POST", "/v1/policies/invented/versions/1/publish", reason="trust me")

    assert answer.status_code == 422
    assert "the deadline is" in answer.json()["errors"][0]["problem"]
    assert await site.in_force() == []


async def test_a_version_names_one_content_only(site: Site):
    await site.publish(policy_text(version="1", days=20))
    await site.call("PUT", "/v1/policies/invented", **draft(policy_text(version="1", days=25), based_on=1))
    answer = await site.call("POST", "/v1/policies/invented/versions/2/publish", reason="the same word")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "version"


async def test_a_rule_for_later_days_leaves_the_present_one_in_force(site: Site):
    await site.publish(policy_text(version="now"))
    later = policy_text(version="later", more="effective_from = 2026-06-01", days=20)
    later = later.replace("2026-02-02", "2026-06-02").replace("2026-02-01", "2026-06-01")
    later = later.replace("2026-02-21T23:59:59-06:00", "2026-06-21T23:59:59-05:00")
    await site.publish(later, based_on=1)

    assert {version for version, _, _ in await site.in_force()} == {"now", "later"}
    assert ("invented", "now") in await site.decide()


async def test_only_admins_and_the_operator_change_policies(site: Site):
    sent = await site.call("PUT", "/v1/policies/invented", "biller", **draft(policy_text()))
    await site.publish(policy_text())
    retired = await site.call("POST", "/v1/policies/invented/versions/1/retire", "biller", reason="no")

    assert (sent.status_code, retired.status_code) == (403, 403)


async def test_every_change_is_in_the_audit_log(site: Site):
    await site.publish(policy_text())
    await site.call("POST", "/v1/policies/invented/versions/1/retire", reason="it was wrong")
    found = await site.triage.rows("select * from triage.audit_log order by entry_id", site.mine)

    assert [(row.action, row.subject_id, row.detail["number"]) for row in found] == [
        ("policy_drafted", "invented", 1),
        ("policy_published", "invented", 1),
        ("policy_retired", "invented", 1),
    ]


async def test_the_audit_log_of_policies_is_chained_for_organizations_and_the_installation(
    site: Site, database: Database
):
    await site.publish(policy_text())
    await site.publish(policy_text(version="2"), "operator")
    owner = create_engine(database.owner, name="owner")
    try:
        found = [one async for one in verdicts(owner) if one.log == "triage.audit_log"]
    finally:
        await owner.dispose()

    assert {one.organization_id: (one.entries, one.fault) for one in found} == {
        INSTALLATION: (2, None),
        site.mine: (2, None),
        site.theirs: (0, None),
    }


async def test_a_version_is_given_back_as_it_was_written(site: Site):
    text = policy_text().replace("\n", "\r\n") + "# später geprüft\r\n"
    await site.publish(text)
    answer = (await site.call("GET", "/v1/policies/invented/versions/1", "biller")).json()

    assert answer["content"] == text
    assert (answer["author"], answer["author_role"], answer["published_reason"]) == (
        "admin",
        "admin",
        "checked by hand",
    )


async def test_shipped_policies_are_kept_once_and_for_ever(site: Site):
    shipped = list(zip([one.file for one in SHIPPED.policies], policy_texts().values(), strict=True))
    for _ in range(2):
        async with transaction(site.triage.engine, organizations=[INSTALLATION]) as connection:
            await keep_reference(connection, shipped, release="0.1.0")
    history = (await site.call("GET", "/v1/policies/aetna")).json()["history"]
    listed = (await site.call("GET", "/v1/policies")).json()["data"]

    assert [(one["status"], one["number"]) for one in history] == [("reference", 1)]
    assert {one["number"] for one in listed} == {1}
    content = (await site.call("GET", "/v1/policies/aetna/versions/1?layer=installation")).json()["content"]
    assert content.encode() == policy_texts()["aetna.toml"]


async def test_facts_are_weighed_by_the_policies_in_force(site: Site):
    event = denial(organization_id=site.mine)
    await site.triage.handle(event)
    await site.publish(policy_text())
    await site.triage.handle(fact(event))
    latest = max(await site.triage.decisions(site.mine), key=lambda one: one.revision)

    assert "invented" in {clock["policy_id"] for clock in latest.payload["clocks"]}
