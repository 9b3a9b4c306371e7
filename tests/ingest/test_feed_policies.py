"""What a feed was told counts when its files are read: test files, and what it calls its payers."""

from typing import Any

import pytest

from services.ingest.workers.holding import release_known
from services.triage.policies import shipped_policies
from shared.contracts.claim_denied import ClaimDenied
from tests.ingest.remittances import NPI, OTHER_NPI, TestSet, denied, remittance
from tests.ingest.site import Site
from tests.ingest.test_reading import Killed, small_batches  # noqa: F401  a fixture
from tests.ingest.test_recovery import attempt, fail_at

FILE = remittance(TestSet([denied("A1")]))
TEST_FILE = FILE.replace(b"*P*:~", b"*T*:~")
assert TEST_FILE != FILE


async def set_feed(site: Site, **settings: Any) -> None:
    answer = await site.client.patch("/v1/feeds/main", json=settings, headers=site.headers())
    assert answer.status_code == 200, answer.text


async def test_test_files_stand_apart_where_a_feed_takes_them(site: Site):
    assert (await site.take_in(TEST_FILE))["status"] == "processed"

    (event,) = await site.events()
    assert isinstance(event, ClaimDenied)
    assert event.is_test


async def test_a_feed_may_take_no_test_files(site: Site):
    await set_feed(site, test_files="refuse")

    receipt = await site.take_in(TEST_FILE)

    assert (receipt["status"], receipt["refused_reason"]) == ("refused", "test_refused")
    assert [one["code"] for one in receipt["findings"]] == ["test_refused"]
    assert "--test-files separate" in receipt["findings"][0]["remedy"]
    assert await site.events() == []
    assert await site.claims() == []
    assert await site.rows("select 1 from ingest.held_remittances") == []


@pytest.mark.parametrize("left", ["held", "staged"])
async def test_a_test_that_came_before_its_feed_refused_tests_is_read_to_its_end(
    site: Site,
    small_batches: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    left: str,
):
    claims = [denied(f"A{n}") for n in range(6)]
    npi = OTHER_NPI if left == "held" else NPI
    await site.push(remittance(TestSet(claims, npi=npi)).replace(b"*P*:~", b"*T*:~"))
    if left == "staged":
        fail_at(monkeypatch, 3, Killed)
    await attempt(site)
    monkeypatch.undo()
    await set_feed(site, test_files="refuse")
    await site.register(OTHER_NPI)
    await release_known(site.workshop)
    await site.read_due()

    assert len(await site.events()) == 6
    assert await site.events(due=False) == []
    assert await site.rows("select 1 from ingest.held_remittances") == []


async def test_a_refused_test_is_read_when_it_comes_again_and_the_feed_takes_tests(site: Site):
    await set_feed(site, test_files="refuse")
    await site.take_in(TEST_FILE)
    assert (await site.take_in(TEST_FILE))["status"] == "refused"

    await set_feed(site, test_files="separate")

    assert (await site.take_in(TEST_FILE))["status"] == "processed"
    (event,) = await site.events()
    assert isinstance(event, ClaimDenied)
    assert event.is_test


async def test_production_beside_a_test_is_read_all_the_same(site: Site):
    await set_feed(site, test_files="refuse")

    receipt = await site.take_in(remittance(TestSet([denied("B1")], trace="T2")) + TEST_FILE)

    assert receipt["status"] == "processed"
    assert [one["code"] for one in receipt["findings"]] == ["test_refused"]
    (event,) = await site.events()
    assert isinstance(event, ClaimDenied)
    assert (event.claim_number, event.is_test) == ("B1", False)


@pytest.mark.parametrize("sent", ["name", "id"])
async def test_an_alias_names_the_payer_that_a_policy_knows(site: Site, sent: str):
    policies = shipped_policies()
    policy = next(one for one in policies.policies if one.file.match.names)
    known = policy.file.match.names[0]
    await site.take_in(FILE)
    (before,) = await site.events()
    assert isinstance(before, ClaimDenied)
    as_sent = before.payer.name if sent == "name" else before.payer.ids[0].value
    await set_feed(site, payer_aliases={as_sent: known})

    await site.take_in(remittance(TestSet([denied("C1")], trace="T3")))

    after = (await site.events())[-1]
    assert isinstance(after, ClaimDenied)
    assert after.payer.name == before.payer.name
    assert [(one.qualifier, one.value) for one in after.payer.ids[len(before.payer.ids) :]] == [
        ("alias", known)
    ]
    found, how = policies._candidates(after.payer)
    assert how == "the feed's alias"
    assert policy in found
