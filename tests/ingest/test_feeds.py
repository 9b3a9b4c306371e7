"""Feeds are records: what each expects is kept, its silence is seen, and nobody else's can be touched."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.ingest.workers.feeds import measure
from shared.postgres import transaction
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import Site
from tests.support.database import Database

FILE = remittance(TestSet([denied("A1")]))


async def ask(site: Site, method: str, path: str, who: str = "submitter", **more: Any) -> httpx2.Response:
    return await site.client.request(method, path, headers=site.headers(who), **more)


async def feed(site: Site, name: str = "main") -> dict[str, Any]:
    return (await ask(site, "GET", f"/v1/feeds/{name}")).json()


async def test_a_feed_keeps_what_it_was_told(site: Site):
    wanted = {
        "name": "nightly",
        "cadence_hours": 26,
        "acknowledgment": "all",
        "test_files": "refuse",
        "payer_aliases": {" Blue Cross of X ": "BCBSX"},
    }
    created = await ask(site, "POST", "/v1/feeds", json=wanted)
    again = await ask(site, "POST", "/v1/feeds", json={"name": "nightly"})

    assert (created.status_code, again.status_code) == (201, 200)
    assert (created.json()["created"], again.json()["created"]) == (True, False)
    kept = await feed(site, "nightly")
    assert kept["payer_aliases"] == {"BLUE CROSS OF X": "BCBSX"}
    assert {key: kept[key] for key in ("cadence_hours", "acknowledgment", "test_files")} == {
        "cadence_hours": 26,
        "acknowledgment": "all",
        "test_files": "refuse",
    }


async def test_a_change_leaves_what_it_does_not_name(site: Site):
    await ask(site, "PATCH", "/v1/feeds/main", json={"cadence_hours": 24, "acknowledgment": "all"})
    changed = await ask(site, "PATCH", "/v1/feeds/main", json={"cadence_hours": None})

    assert changed.status_code == 200
    assert (changed.json()["cadence_hours"], changed.json()["acknowledgment"]) == (None, "all")


@pytest.mark.parametrize(
    "wrong",
    [
        {"cadence_hours": 0},
        {"acknowledgment": "some"},
        {"test_files": "open"},
        {"acknowledgment": None},
        {"payer_aliases": {"A": ""}},
        {"payer_aliases": {"A": "B\nC"}},
        {"cadense_hours": 4},
    ],
)
async def test_a_wrong_setting_changes_nothing(site: Site, wrong: dict[str, Any]):
    before = await feed(site)
    answer = await ask(site, "PATCH", "/v1/feeds/main", json=wrong)

    assert answer.status_code == 422
    assert answer.json()["errors"]
    after = await feed(site)
    assert {**after, "silent_for_hours": 0} == {**before, "silent_for_hours": 0}


async def test_a_feed_is_silent_beyond_its_cadence_and_a_metric_says_so(site: Site):
    await site.push(FILE)
    await ask(site, "PATCH", "/v1/feeds/main", json={"cadence_hours": 2})
    labels = {"submitter_id": str(site.submitter_id), "feed": "main"}

    await measure(site.engine)
    assert (await feed(site))["silent"] is False
    assert REGISTRY.get_sample_value("reprieve_feed_silent", labels) == 0

    await age(site, hours=3)
    await measure(site.engine)
    kept = await feed(site)
    assert kept["silent"] is True
    assert 3.0 <= kept["silent_for_hours"] < 3.2
    assert REGISTRY.get_sample_value("reprieve_feed_silent", labels) == 1
    seconds = REGISTRY.get_sample_value("reprieve_feed_silence_seconds", labels)
    assert seconds is not None
    assert timedelta(hours=3) <= timedelta(seconds=seconds) < timedelta(hours=3, minutes=10)


async def test_a_file_that_was_here_before_ends_a_silence_too(site: Site):
    await site.push(FILE)
    await ask(site, "PATCH", "/v1/feeds/main", json={"cadence_hours": 2})
    await age(site, hours=3)

    assert (await site.push(FILE)).status_code == 200

    assert (await feed(site))["silent"] is False


async def age(site: Site, *, hours: int) -> None:
    async with transaction(site.engine, submitters=[site.submitter_id]) as connection:
        await connection.execute(
            text("update ingest.receipts set received_at = received_at - make_interval(hours => :hours)"),
            {"hours": hours},
        )


async def test_a_feed_that_never_had_a_file_is_silent_since_it_was_opened(site: Site):
    await ask(site, "PATCH", "/v1/feeds/main", json={"cadence_hours": 1})
    async with transaction(site.engine, submitters=[site.submitter_id]) as connection:
        await connection.execute(
            text("update ingest.feeds set created_at = created_at - interval '90 minutes'")
        )

    kept = await feed(site)

    assert (kept["last_received_at"], kept["silent"]) == (None, True)


async def test_the_operator_sees_and_sets_every_feed_and_names_its_owner(site: Site):
    found = (await ask(site, "GET", "/v1/feeds", "operator")).json()["data"]
    assert {one["name"] for one in found} == {"main"}
    assert len({one["submitter_id"] for one in found}) == 2
    whose = {"submitter_id": str(site.submitter_id)}

    unnamed = await ask(site, "PATCH", "/v1/feeds/main", "operator", json={"cadence_hours": 5})
    named = await ask(site, "PATCH", "/v1/feeds/main", "operator", json={"cadence_hours": 5}, params=whose)

    assert (unnamed.status_code, named.status_code) == (404, 200)
    assert (await feed(site))["cadence_hours"] == 5
    assert (await ask(site, "GET", "/v1/feeds/main", "other")).json()["cadence_hours"] is None


async def test_a_submitter_reaches_no_other_ones_feeds(site: Site):
    await ask(site, "POST", "/v1/feeds", json={"name": "mine"})
    whose = {"submitter_id": str(site.submitter_id)}

    for answer in (
        await ask(site, "GET", "/v1/feeds/mine", "other"),
        await ask(site, "GET", "/v1/feeds", "other", params=whose),
        await ask(site, "PATCH", "/v1/feeds/mine", "other", json={"cadence_hours": 5}),
        await ask(site, "PATCH", "/v1/feeds/mine", "other", json={"cadence_hours": 5}, params=whose),
        await ask(site, "POST", "/v1/feeds/mine/secrets", "other"),
        await ask(site, "POST", "/v1/feeds/mine/secrets", "other", params=whose),
    ):
        assert answer.status_code == 404, answer.text
    assert (await feed(site, "mine"))["signing_secrets"] == []


async def test_a_feed_has_two_signing_secrets_at_most_and_shows_each_once(site: Site):
    first = await ask(site, "POST", "/v1/feeds/main/secrets")
    second = await ask(site, "POST", "/v1/feeds/main/secrets")
    third = await ask(site, "POST", "/v1/feeds/main/secrets")

    assert [one.status_code for one in (first, second, third)] == [201, 201, 409]
    assert first.json()["secret"].startswith("whsec_")
    assert first.json()["secret"] != second.json()["secret"]
    shown = await feed(site)
    assert [one["secret_id"] for one in shown["signing_secrets"]] == [
        one.json()["secret_id"] for one in (first, second)
    ]
    assert "whsec_" not in str(shown)
    gone = await ask(site, "DELETE", f"/v1/feeds/main/secrets/{first.json()['secret_id']}")
    assert gone.status_code == 204
    assert (await ask(site, "POST", "/v1/feeds/main/secrets")).status_code == 201


async def test_secrets_rest_sealed(site: Site, database: Database):
    import base64

    secret = (await ask(site, "POST", "/v1/feeds/main/secrets")).json()["secret"]
    (row,) = await site.rows("select wrapped_secret from ingest.feed_secrets")

    assert base64.b64decode(secret.removeprefix("whsec_")) not in row.wrapped_secret


async def test_the_migration_goes_down_and_up_and_keeps_what_was_there(site: Site, database: Database):
    import asyncio

    from shared.postgres import migrate

    await site.push(FILE)
    await asyncio.to_thread(migrate.downgrade, database.owner, "0005")
    assert [row.name for row in await site.rows("select name from ingest.feeds")] == ["main"]
    await asyncio.to_thread(migrate.upgrade, database.owner)

    assert (await feed(site))["acknowledgment"] == "negative"
    assert (await site.push(FILE)).json()["duplicate"] is True
