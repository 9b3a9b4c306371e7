"""Channels over HTTP: roles and walls, secrets that are never shown again, tests, attempts, resending."""

import asyncio
import base64
import json
from uuid import UUID, uuid4

import pytest
from standardwebhooks import Webhook

from services.tracker.alerts.store import notifications
from services.tracker.alerts.workers.delivering import Delivery, deliver
from services.tracker.app import api_app
from shared.http.probes import Health
from shared.postgres import transaction
from shared.security.sealing import MasterKey
from tests.tracker.alerts.conftest import CONTENT
from tests.tracker.alerts.illness import Answer
from tests.tracker.site import MASTER_KEY

URL = "/v1/alerts/channels"
TOKEN = "xoxb-1-secret-token"


@pytest.fixture
def site(site, engine, network):
    """The API with this machine allowed as a destination."""
    import httpx2

    app = api_app(engine, master_key=MASTER_KEY, health=Health(), network=network)
    for client in site.clients.values():
        client._transport = httpx2.ASGITransport(app=app)
    return site


@pytest.fixture
def webhook(receiver) -> dict:
    return {"name": "billing", "kind": "webhook", "settings": {"url": f"{receiver.url}/hook"}}


async def create(site, body: dict, role: str = "admin", **headers) -> dict:
    answer = await site[role].post(URL, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def send(engine, network):
    """Deliver everything that is due, once."""
    delivery = Delivery(
        engine=engine,
        master_key=MasterKey.from_text(MASTER_KEY),
        network=network,
        runbooks_url="https://reprieve.example/runbooks/",
    )

    async def send() -> None:
        async with transaction(engine) as connection:
            due = await notifications.due_notifications(connection, limit=10)
        for one in due:
            await deliver(delivery, one, stop=asyncio.Event())

    return send


async def test_a_made_secret_is_shown_once_and_signs_what_is_sent(site, webhook, receiver, send):
    made = await create(site, webhook)
    listed = (await site["viewer"].get(URL)).json()["data"]
    tested = await site["supervisor"].post(f"{URL}/{made['channel_id']}/test")
    await send()

    assert made["secret"].startswith("whsec_")
    assert made["settings"] == webhook["settings"]
    assert "secret" not in listed[0]
    assert made["secret"] not in str(listed)
    assert tested.status_code == 202
    (request,) = receiver.requests
    assert Webhook(made["secret"]).verify(request.body, request.headers)["type"] == "alert.test"


async def test_a_rotation_signs_with_both_secrets_and_the_next_one_drops_the_first(
    site, webhook, receiver, send
):
    first = await create(site, webhook)
    url = f"{URL}/{first['channel_id']}"
    second = (await site["admin"].post(f"{url}/secret", json={})).json()
    await site["admin"].post(f"{url}/test")
    await send()
    third = (await site["admin"].post(f"{url}/secret", json={"keep_previous": False})).json()
    await site["admin"].post(f"{url}/test")
    await send()

    both, alone = receiver.requests
    assert len({first["secret"], second["secret"], third["secret"]}) == 3
    assert (second["has_previous_secret"], third["has_previous_secret"]) == (True, False)
    for secret in (first["secret"], second["secret"]):
        Webhook(secret).verify(both.body, both.headers)
    Webhook(third["secret"]).verify(alone.body, alone.headers)
    assert len(alone.headers["webhook-signature"].split(" ")) == 1


async def test_no_secret_lies_in_the_database_or_in_an_answer_as_it_is(site, select, webhook):
    bot = {"name": "slack", "kind": "slack_bot", "settings": {"channel": "C1"}, "secret": TOKEN}
    kept = await create(site, bot, **{"Idempotency-Key": "k1"})
    made = await create(site, webhook, **{"Idempotency-Key": "k2"})
    everything = await select(
        "select row_to_json(c)::text as all from tracker.channels c union all select convert_from(answer, 'utf8') "
        "from tracker.idempotency union all select row_to_json(a)::text from tracker.audit_log a",
        organization=site.organization,
    )

    assert kept["secret"] is None
    shown = " ".join(row.all for row in everything)
    assert TOKEN not in shown
    assert made["secret"] not in shown
    assert "channel_created" in shown


async def test_a_creation_that_is_repeated_under_its_key_gives_the_same_channel_and_secret(site, webhook):
    first = await create(site, webhook, **{"Idempotency-Key": "once"})
    again = await create(site, webhook, **{"Idempotency-Key": "once"})
    other = await site["admin"].post(URL, json=webhook | {"name": "x"}, headers={"Idempotency-Key": "once"})

    assert again == first
    assert other.status_code == 422
    assert len((await site["admin"].get(URL)).json()["data"]) == 1


async def test_a_name_is_taken_once(site, webhook):
    made = await create(site, webhook)
    other = await create(site, webhook | {"name": "other"})

    again = await site["admin"].post(URL, json=webhook)
    renamed = await site["admin"].patch(f"{URL}/{other['channel_id']}", json={"name": "billing"})

    assert (again.status_code, renamed.status_code) == (409, 409)
    assert made["channel_id"] != other["channel_id"]


async def test_what_is_named_is_changed_and_judged_again(site, webhook, receiver):
    made = await create(site, webhook)
    url = f"{URL}/{made['channel_id']}"

    changed = await site["supervisor"].patch(url, json={"rate_per_minute": 5})
    inside = await site["supervisor"].patch(url, json={"settings": {"url": "https://10.0.0.1/"}})
    unknown = await site["supervisor"].patch(url, json={"settings": {"url": receiver.url, "colour": "red"}})

    assert changed.json()["rate_per_minute"] == 5
    assert changed.json()["settings"] == webhook["settings"]
    assert (inside.status_code, inside.json()["type"].rpartition(":")[2]) == (422, "destination-refused")
    assert unknown.status_code == 422
    assert (await site["viewer"].get(url)).json()["settings"] == webhook["settings"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "webhook", "settings": {"url": "https://169.254.169.254/"}},
        {"kind": "webhook", "settings": {"url": "http://example.org/"}},
        {"kind": "webhook", "settings": {}},
        {"kind": "webhook", "settings": {"url": "https://8.8.8.8/"}, "secret": "short"},
        {"kind": "slack_webhook", "secret": "https://192.168.0.1/services/x"},
        {"kind": "slack_webhook"},
        {"kind": "slack_bot", "settings": {"channel": "C1"}, "secret": "xoxp-user"},
        {"kind": "slack_bot", "settings": {"channel": "C1", "api_url": "https://127.1/"}, "secret": "xoxb-1"},
        {"kind": "pagerduty", "secret": "short"},
        {
            "kind": "email",
            "settings": {"host": "10.0.0.5", "sender": "a@b.example", "recipients": ["c@d.example"]},
        },
        {"kind": "email", "settings": {"host": "8.8.8.8", "sender": "a@b.example", "recipients": []}},
        {
            "kind": "email",
            "settings": {
                "host": "h.example",
                "port": 70000,
                "sender": "a@b.example",
                "recipients": ["c@d.example"],
            },
        },
        {"kind": "slack_bot", "settings": {"channel": "C\x00"}, "secret": "xoxb-1"},
        {"kind": "webhook", "settings": {"url": "https://example.org:99999999/"}},
        {"kind": "webhook", "settings": {"\ud800": 1}},
        {"kind": "webhook", "settings": {"url": "https://example.org/\ud800"}},
        {"kind": "telegram"},
    ],
)
async def test_a_channel_that_could_never_work_or_leads_inside_is_refused(site, body):
    told = json.dumps({"name": "n", **body})  # escaped, so that it may hold half a character
    answer = await site["admin"].post(URL, content=told, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await site["admin"].get(URL)).json()["data"] == []


async def test_viewers_read_and_only_supervisors_and_admins_change(site, webhook):
    made = await create(site, webhook, role="supervisor")
    url = f"{URL}/{made['channel_id']}"
    for role in ("viewer", "biller", "auditor"):
        assert (await site[role].get(url)).status_code == 200
        assert (await site[role].get(f"{url}/attempts")).status_code == 200
        for path in ("", "/secret", "/disable", "/enable", "/test"):
            call = site[role].post(url + path, json={}) if path else site[role].patch(url, json={})
            assert (await call).status_code == 403


async def test_another_organization_and_the_operator_see_none_of_it(site, webhook):
    made = await create(site, webhook)
    for role in ("stranger", "operator"):
        assert (await site[role].get(URL)).json()["data"] == []
        for path in ("", "/attempts", "/notifications"):
            assert (await site[role].get(f"{URL}/{made['channel_id']}{path}")).status_code == 404
        for path in ("/test", "/disable", "/enable"):
            assert (await site[role].post(f"{URL}/{made['channel_id']}{path}")).status_code == 404


async def test_the_operator_has_channels_of_the_installation(site, webhook):
    made = await create(site, webhook, role="operator")

    assert [one["channel_id"] for one in (await site["operator"].get(URL)).json()["data"]] == [
        made["channel_id"]
    ]
    assert (await site["admin"].get(URL)).json()["data"] == []


async def test_attempts_are_listed_and_a_rejected_notification_is_sent_again_under_its_key(
    site, webhook, receiver, send
):
    url = f"{URL}/{(await create(site, webhook))['channel_id']}"
    receiver.illnesses = [Answer(302)]
    told = (await site["admin"].post(f"{url}/test")).json()["notification_id"]
    await send()
    refused = (await site["viewer"].get(f"{url}/notifications/{told}")).json()
    resent = await site["supervisor"].post(f"{url}/notifications/{told}/resend")
    await send()
    sent = (await site["viewer"].get(f"{url}/notifications/{told}")).json()
    attempts = (await site["viewer"].get(f"{url}/attempts")).json()["data"]

    assert (refused["state"], refused["last_outcome"]) == ("rejected", "redirect")
    assert resent.status_code == 202
    assert sent["state"] == "sent"
    assert [(one["attempt"], one["outcome"]) for one in sent["tries"]] == [(1, "rejected"), (2, "delivered")]
    assert [(one["attempt"], one["notification_id"]) for one in attempts] == [(2, told), (1, told)]
    assert [one.headers["webhook-id"] for one in receiver.requests] == [told, told]


async def test_of_a_group_its_last_word_alone_is_sent_again_so_that_no_incident_opens_or_ends_by_it(
    site, receiver, send, engine
):
    pager = {"name": "p", "kind": "pagerduty", "settings": {"api_url": receiver.url}, "secret": "a" * 32}
    channel = UUID((await create(site, pager))["channel_id"])
    fired, resolved, fired_again, other = [
        await told_of(engine, site, channel, kind, group)
        for kind, group in (("firing", "g"), ("resolved", "g"), ("firing", "g"), ("firing", "other"))
    ]
    for _ in range(4):
        await send()
    before = len(receiver.requests)
    url = f"{URL}/{channel}/notifications"

    for older in (fired, resolved):
        refused = await site["supervisor"].post(f"{url}/{older}/resend")
        assert (refused.status_code, str(fired_again) in refused.json()["remedy"]) == (409, True)
        assert (await site["viewer"].get(f"{url}/{older}")).json()["state"] == "sent"
    for last in (fired_again, other):
        assert (await site["supervisor"].post(f"{url}/{last}/resend")).status_code == 202
        await send()

    assert [one.json["event_action"] for one in receiver.requests[before:]] == ["trigger", "trigger"]


async def told_of(engine, site, channel: UUID, kind: str, group: str) -> UUID:
    notification_id = uuid4()
    async with transaction(engine, organizations=[site.organization]) as connection:
        await notifications.add_notification(
            connection,
            organization_id=site.organization,
            notification_id=notification_id,
            channel_id=channel,
            group_key=group,
            dedup_key=f"key:{group}",
            kind=kind,
            severity="error",
            content=CONTENT,
        )
    return notification_id


async def test_a_disabled_channel_says_why_sends_nothing_and_begins_anew(site, webhook, receiver, send):
    url = f"{URL}/{(await create(site, webhook))['channel_id']}"
    waiting = (await site["admin"].post(f"{url}/test")).json()["notification_id"]
    disabled = (await site["admin"].post(f"{url}/disable")).json()
    await send()
    refused = await site["admin"].post(f"{url}/test")
    enabled = (await site["admin"].post(f"{url}/enable")).json()
    await send()

    assert (disabled["state"], disabled["disabled_reason"]) == ("disabled", "switched_off")
    assert refused.status_code == 409
    assert (enabled["state"], enabled["disabled_reason"], enabled["failures"]) == ("active", None, 0)
    assert receiver.requests == []
    assert (await site["admin"].get(f"{url}/notifications/{waiting}")).json()["state"] == "rejected"


async def test_notifications_are_paged_newest_first(site, webhook):
    url = f"{URL}/{(await create(site, webhook))['channel_id']}"
    made = [(await site["admin"].post(f"{url}/test")).json()["notification_id"] for _ in range(3)]
    first = (await site["viewer"].get(f"{url}/notifications", params={"limit": 2})).json()
    rest = (
        await site["viewer"].get(f"{url}/notifications", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()

    place = base64.urlsafe_b64decode(first["next_cursor"] + "==")[12:]  # behind the signature

    assert json.loads(place) == made[1]  # and no number that is common to all organizations
    assert [one["notification_id"] for one in first["data"] + rest["data"]] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)


async def test_every_change_is_in_the_audit_log(site, webhook, select):
    made = await create(site, webhook)
    url = f"{URL}/{made['channel_id']}"
    await site["admin"].patch(url, json={"name": "b"})
    await site["admin"].post(f"{url}/secret", json={})
    told = (await site["admin"].post(f"{url}/test")).json()["notification_id"]
    await site["admin"].post(f"{url}/notifications/{told}/resend")
    await site["admin"].post(f"{url}/disable")
    await site["admin"].post(f"{url}/enable")
    logged = await select(
        "select action, detail->>'channel_id' as channel_id from tracker.audit_log order by entry_id",
        organization=site.organization,
    )

    assert [row.action for row in logged] == [
        "channel_created",
        "channel_changed",
        "channel_secret_rotated",
        "channel_tested",
        "notification_resent",
        "channel_disabled",
        "channel_enabled",
    ]
    assert {row.channel_id for row in logged} == {made["channel_id"]}


async def test_a_notification_of_another_channel_is_not_there(site, webhook):
    one = f"{URL}/{(await create(site, webhook))['channel_id']}"
    other = f"{URL}/{(await create(site, webhook | {'name': 'other'}))['channel_id']}"
    told = (await site["admin"].post(f"{one}/test")).json()["notification_id"]

    assert (await site["admin"].get(f"{other}/notifications/{told}")).status_code == 404
    assert (await site["admin"].get(f"{one}/notifications/{uuid4()}")).status_code == 404
    assert UUID(told)
