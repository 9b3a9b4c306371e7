"""Each channel against a server that behaves as its vendor documents."""

import json
import re
import ssl
import subprocess
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from standardwebhooks import Webhook, WebhookVerificationError

from services.tracker.alerts.channels import email, pagerduty, slack_bot, slack_webhook, webhook
from services.tracker.alerts.channels.email import EmailSettings
from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.channels.pagerduty import PagerDutySettings
from services.tracker.alerts.channels.slack_bot import SlackBotSettings
from services.tracker.alerts.channels.slack_webhook import SlackWebhookSettings
from services.tracker.alerts.channels.webhook import WebhookSettings
from services.tracker.alerts.domain.content import Content, Line, Totals
from services.tracker.alerts.domain.notification import Destination, Secret
from services.tracker.alerts.domain.outcomes import Delivered, Rejected, TryLater
from services.tracker.alerts.templates.slack import message
from shared.errors import InvalidInputError
from tests.support.ports import free_port
from tests.tracker.alerts.conftest import CONTENT, notification
from tests.tracker.alerts.illness import Answer, FakeServer

BIG = Content(
    title="x" * 5000,
    rule="deadline",
    lines=tuple(
        Line(**{**_fields, "payer": "P" * 400})
        for _fields in [
            {"case_id": uuid4(), "amount": Decimal("1.00"), "category": "c" * 200, "days_left": 1}
        ]
        * 500
    ),
    totals=Totals(count=5000, amount=Decimal("999999999.99")),
    link="https://reprieve.example/" + "x" * 300,
)


def destination(settings, secret: str | None = None, previous: str | None = None) -> Destination:
    return Destination(
        name="test", settings=settings, secret=secret and Secret(current=secret, previous=previous)
    )


# Standard Webhooks


async def test_a_webhook_is_verified_by_the_library_of_the_standard_with_either_secret(receiver, network):
    new, old = webhook.make_secret(), webhook.make_secret()
    told = notification()

    outcome = await webhook.deliver(
        told, destination(WebhookSettings(url=f"{receiver.url}/x?a=b"), new, old), network
    )

    (request,) = receiver.requests
    assert outcome == Delivered(status=200)
    assert request.path == "/x?a=b"
    assert request.headers["webhook-id"] == str(told.notification_id)
    for secret in (new, old):
        body = Webhook(secret).verify(request.body, request.headers)
        assert body["type"] == "alert.firing"
        assert body["data"]["amount"] == "3720.00"
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.make_secret()).verify(request.body, request.headers)


async def test_a_webhook_stays_below_twenty_kilobytes():
    assert len(webhook.render(notification(content=BIG))) < 20_000


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(204), Delivered(status=204)),
        (Answer(410), Rejected(reason="gone", status=410, gone=True)),
        (
            Answer(302, headers={"location": "http://169.254.169.254/"}),
            Rejected(reason="redirect", status=302),
        ),
        (
            Answer(429, headers={"retry-after": "7"}),
            TryLater(reason="status_429", status=429, after_seconds=7),
        ),
        (Answer(400), TryLater(reason="status_400", status=400)),
        (Answer(502), TryLater(reason="status_502", status=502)),
    ],
)
async def test_what_a_receiver_answers_is_read_as_the_standard_says(receiver, network, answer, expected):
    receiver.always = answer

    outcome = await webhook.deliver(
        notification(), destination(WebhookSettings(url=receiver.url), webhook.make_secret()), network
    )

    assert outcome == expected
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "secret", ["", "abc", "whsec_", "whsec_!!!", "whsec_" + "QUJD", "whsec_" + "QUJD" * 30]
)
def test_a_weak_signing_secret_is_refused(secret):
    with pytest.raises(InvalidInputError):
        webhook.check_secret(secret)


# Slack


class Slack(FakeServer):
    """chat.postMessage and chat.update as documented: 200 with ok and error, limits checked."""

    def __init__(self) -> None:
        super().__init__(answer=self.serve)
        self.messages: dict[str, dict] = {}
        self.error: str | None = None

    def serve(self, request) -> Answer:
        asked = request.json
        if request.headers["authorization"] != "Bearer xoxb-good":
            return self._say(ok=False, error="invalid_auth")
        if error := self.error or slack_error(asked):
            return self._say(ok=False, error=error)
        if request.path.endswith("chat.update"):
            if asked["ts"] not in self.messages:
                return self._say(ok=False, error="message_not_found")
            self.messages[asked["ts"]] = asked
            return self._say(ok=True, channel=asked["channel"], ts=asked["ts"])
        ts = f"{1700000000 + len(self.messages)}.000100"
        self.messages[ts] = asked
        return self._say(ok=True, channel="C1", ts=ts)

    def _say(self, **answer) -> Answer:
        return Answer(200, json.dumps(answer).encode())


def slack_error(asked: dict) -> str | None:
    blocks = asked.get("blocks", [])
    if not asked.get("text"):
        return "no_text"
    if not 0 < len(blocks) <= 50:
        return "invalid_blocks"
    if len(json.dumps(blocks)) > 13_000 * 1.2:
        return "msg_too_long"
    for block in blocks:
        text = block.get("text", {}).get("text", "x")
        limit = {"header": 150, "section": 3000}.get(block["type"], 3000)
        if not 0 < len(text) <= limit or len(block.get("block_id", "")) > 255:
            return "invalid_blocks"
    return None


@pytest.fixture
async def slack():
    server = await Slack().start()
    yield server
    await server.stop()


def bot(slack: Slack) -> Destination:
    return destination(SlackBotSettings(channel="C1", api_url=slack.url), "xoxb-good")


async def test_a_group_is_one_message_in_slack_updated_in_place_with_a_thread(slack, network):
    fired = notification()
    first = await slack_bot.deliver(fired, bot(slack), network)
    resolved = notification(kind="resolved", group_ref=first.remote_ref, content=CONTENT)
    second = await slack_bot.deliver(resolved, bot(slack), network)

    mains = {ts: one for ts, one in slack.messages.items() if "thread_ts" not in one}
    said = [one for one in slack.messages.values() if "thread_ts" in one]
    ((ts, main),) = mains.items()
    assert first.remote_ref == second.remote_ref == f"C1:{ts}"
    assert main["blocks"][0]["text"]["text"] == "Resolved: 3 cases with Acme Health end within 5 days"
    assert main["blocks"][0]["block_id"] == str(resolved.notification_id)
    assert main["metadata"]["event_payload"]["dedup_key"] == fired.dedup_key
    assert [one["thread_ts"] for one in said] == [ts]  # the first message says all there is to say
    assert said[0]["blocks"][0]["block_id"] == str(resolved.notification_id)
    buttons = {one["url"] for one in main["blocks"][-1]["elements"]}
    assert buttons == {CONTENT.link, fired.runbook}


async def test_a_thread_that_failed_is_tried_again_without_another_message(slack, network):
    slack.illnesses = []
    told = notification(content=msgspec.structs.replace(CONTENT, lines=CONTENT.lines * 2))
    calls = 0

    def second_fails(request):
        nonlocal calls
        calls += 1
        return Answer(429, headers={"retry-after": "3"}) if calls == 2 else slack.serve(request)

    slack.answer = second_fails
    first = await slack_bot.deliver(told, bot(slack), network)
    assert isinstance(first, TryLater)
    assert first.after_seconds == 3

    again = await slack_bot.deliver(replace(told, remote_ref=first.remote_ref), bot(slack), network)

    assert isinstance(again, Delivered)
    assert len([one for one in slack.messages.values() if "thread_ts" not in one]) == 1


async def test_a_message_that_somebody_deleted_is_posted_anew(slack, network):
    outcome = await slack_bot.deliver(notification(kind="update", group_ref="C1:1.2"), bot(slack), network)

    assert isinstance(outcome, Delivered)
    assert outcome.remote_ref != "C1:1.2"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("token_revoked", Rejected(reason="token_revoked", status=200, gone=True)),
        ("is_archived", Rejected(reason="is_archived", status=200, gone=True)),
        ("invalid_blocks", Rejected(reason="invalid_blocks", status=200)),
        ("not_in_channel", TryLater(reason="not_in_channel", status=200)),
        ("ratelimited", TryLater(reason="ratelimited", status=200)),
        ("Jane Doe!", TryLater(reason="unknown", status=200)),
    ],
)
async def test_slacks_words_are_read(slack, network, error, expected):
    slack.error = error

    assert await slack_bot.deliver(notification(), bot(slack), network) == expected


async def test_the_largest_group_keeps_slacks_limits(slack, receiver, network):
    told = notification(content=BIG)

    assert isinstance(await slack_bot.deliver(told, bot(slack), network), Delivered)
    assert slack_error(json.loads(slack_webhook.render(told))) is None
    assert slack_error(message(told, lines_max=1000)) is None


def test_a_payers_name_can_mention_nobody_in_slack():
    payer = Line(payer="<!channel> & <@U1>", link="https://x.example/>|<!here>")
    said = json.dumps(
        message(notification(content=Content(title="<!here>", rule="r", lines=(payer,))), lines_max=5)
    )

    assert "<!channel>" not in said
    assert "<@U1>" not in said
    assert "|<!here>" not in said
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" in said


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200), Delivered(status=200)),
        (Answer(400, b"invalid_payload"), Rejected(reason="status_400", status=400)),
        (Answer(404, b"no_service"), Rejected(reason="status_404", status=404, gone=True)),
        (Answer(410, b"channel_is_archived"), Rejected(reason="status_410", status=410, gone=True)),
        (
            Answer(429, headers={"retry-after": "30"}),
            TryLater(reason="status_429", status=429, after_seconds=30),
        ),
        (Answer(500, b"rollup_error"), TryLater(reason="status_500", status=500)),
    ],
)
async def test_what_slacks_webhooks_answer_is_read(receiver, network, answer, expected):
    receiver.always = answer

    outcome = await slack_webhook.deliver(
        notification(), destination(SlackWebhookSettings(), f"{receiver.url}/services/T/B/x"), network
    )

    assert outcome == expected
    assert receiver.requests[0].json["text"].startswith("[error] 3 cases")


# PagerDuty

OLD_KEY, NEW_KEY = "a" * 32, "b" * 32


class PagerDuty(FakeServer):
    """/v2/enqueue and /v2/change/enqueue as documented; `open` are the incidents by routing key and dedup_key."""

    def __init__(self) -> None:
        super().__init__(answer=self.serve)
        self.open: set[tuple[str, str]] = set()
        self.acknowledged: set[str] = set()
        self.changes: list[dict] = []

    def serve(self, request) -> Answer:
        asked = request.json
        if len(request.body) > 512 * 1024 or not re.fullmatch(r"[a-z0-9]{32}", asked["routing_key"]):
            return Answer(400, b'{"status":"invalid event"}')
        if request.path == "/v2/change/enqueue":
            self.changes.append(asked)
            return Answer(202, b"{}")
        key = (asked["routing_key"], asked["dedup_key"])
        if len(asked["dedup_key"]) > 255:
            return Answer(400)
        if asked["event_action"] == "resolve":
            self.open.discard(key)
            return Answer(202, b"{}")
        payload = asked["payload"]
        if len(payload["summary"]) > 1024 or payload["severity"] not in (
            "critical",
            "error",
            "warning",
            "info",
        ):
            return Answer(400)
        self.open.add(key)
        if asked["event_action"] == "acknowledge":
            self.acknowledged.add(asked["dedup_key"])
        return Answer(202, b"{}")


@pytest.fixture
async def pager():
    server = await PagerDuty().start()
    yield server
    await server.stop()


def service(pager: PagerDuty, key: str = OLD_KEY, previous: str | None = None) -> Destination:
    return destination(PagerDutySettings(api_url=pager.url), key, previous)


async def test_an_incident_is_triggered_once_acknowledged_and_resolved_under_one_key(pager, network):
    fired = notification()
    await pagerduty.deliver(fired, service(pager), network)
    await pagerduty.deliver(replace(fired, attempt=2), service(pager), network)
    assert pager.open == {(OLD_KEY, fired.dedup_key)}

    somebody = Content(title="t", rule="deadline", acknowledged=True)
    await pagerduty.deliver(notification(kind="update", content=somebody), service(pager), network)
    assert pager.acknowledged == {fired.dedup_key}

    await pagerduty.deliver(notification(kind="resolved"), service(pager), network)
    assert pager.open == set()


async def test_an_incident_is_resolved_with_the_key_that_triggered_it_after_a_rotation(pager, network):
    outcome = await pagerduty.deliver(notification(), service(pager), network)

    rotated = service(pager, NEW_KEY, previous=OLD_KEY)
    await pagerduty.deliver(notification(kind="resolved", group_ref=outcome.remote_ref), rotated, network)
    await pagerduty.deliver(notification(dedup_key="new"), rotated, network)

    assert pager.open == {(NEW_KEY, "new")}


@pytest.mark.parametrize("kind", ["digest", "test"])
async def test_digests_and_tests_page_nobody(pager, network, kind):
    outcome = await pagerduty.deliver(notification(kind=kind, severity="critical"), service(pager), network)

    assert isinstance(outcome, Delivered)
    assert pager.open == set()
    assert len(pager.changes) == 1


async def test_the_largest_group_keeps_pagerdutys_limits(pager, network):
    assert isinstance(
        await pagerduty.deliver(notification(content=BIG, dedup_key="k" * 255), service(pager), network),
        Delivered,
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(400), Rejected(reason="status_400", status=400)),
        (Answer(429), TryLater(reason="status_429", status=429, after_seconds=60)),
        (
            Answer(429, headers={"retry-after": "120"}),
            TryLater(reason="status_429", status=429, after_seconds=120),
        ),
        (Answer(503), TryLater(reason="status_503", status=503)),
    ],
)
async def test_what_pagerduty_answers_is_read(pager, network, answer, expected):
    pager.always = answer

    assert await pagerduty.deliver(notification(), service(pager), network) == expected


# E-mail


class Mailbox:
    """What a mail server took; `refuse` is its next reply to a message."""

    def __init__(self) -> None:
        self.taken: list = []
        self.refuse: str | None = None

    async def handle_DATA(self, _server, session, envelope) -> str:  # noqa: N802  aiosmtpd's name
        if self.refuse:
            return self.refuse
        self.taken.append((session.ssl is not None, envelope))
        return "250 OK"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:hook.test",
            "-keyout",
            str(folder / "key"),
            "-out",
            str(folder / "cert"),
        ],
        check=True,
        capture_output=True,
    )
    return str(folder / "cert"), str(folder / "key")


def server_context(certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


def mail_server(mailbox: Mailbox, certificate=None, *, password: str | None = None) -> Controller:
    def authenticate(_server, _session, _envelope, _mechanism, given) -> AuthResult:
        return AuthResult(success=given.password == (password or "").encode())

    return Controller(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        tls_context=certificate and server_context(certificate),
        require_starttls=certificate is not None,
        authenticator=authenticate if password else None,
        auth_required=password is not None,
    )


@pytest.fixture
def mail():
    """Start mail servers that are stopped when the test ends; gives their settings."""
    running = []

    def start(mailbox, certificate=None, **more) -> EmailSettings:
        controller = mail_server(mailbox, certificate, password=more.pop("password", None))
        controller.port, controller.ready_timeout = free_port(), 60
        controller.start()
        running.append(controller)
        given = {"security": "starttls" if certificate else "none", **more}
        return EmailSettings(
            host="127.0.0.1",
            port=controller.port,
            sender="reprieve@clinic.example",
            recipients=["a@clinic.example", "b@clinic.example"],
            **given,
        )

    yield start
    for controller in running:
        controller.stop()


async def test_mail_goes_over_starttls_with_a_password_in_both_forms(mail, network, certificate):
    mailbox = Mailbox()
    settings = mail(mailbox, certificate, password="secret", user_name="u")
    trusting = replace(network, verify=ssl.create_default_context(cafile=certificate[0]), timeout_seconds=20)
    told = notification()

    assert await email.deliver(told, destination(settings, "secret"), trusting) == Delivered(status=250)

    ((encrypted, envelope),) = mailbox.taken
    text = envelope.content.decode()
    assert encrypted
    assert envelope.rcpt_tos == ["a@clinic.example", "b@clinic.example"]
    assert f"Message-ID: <{told.notification_id}@clinic.example>" in text
    assert f"List-Id: Reprieve alerts <alerts.{told.channel_id}.clinic.example>" in re.sub(
        r"\r\n ", " ", text
    )
    assert "text/plain" in text
    assert "text/html" in text


async def test_mail_to_a_server_whose_certificate_nobody_knows_is_not_sent(mail, network, certificate):
    mailbox = Mailbox()
    settings = mail(mailbox, certificate)

    with pytest.raises(Exception, match="broke_off"):
        await email.deliver(notification(), destination(settings), replace(network, timeout_seconds=20))
    assert mailbox.taken == []


async def test_mail_without_tls_is_refused_but_on_this_machine(network):
    with pytest.raises(InvalidInputError, match="TLS only"):
        email.check(
            EmailSettings(
                host="mail.example", sender="a@b.example", recipients=["c@d.example"], security="none"
            ),
            network,
        )


async def test_mail_to_a_server_that_offers_no_tls_is_not_sent(mail, network):
    mailbox = Mailbox()
    settings = mail(mailbox, security="starttls")

    with pytest.raises(Exception, match="broke_off"):
        await email.deliver(notification(), destination(settings), replace(network, timeout_seconds=20))
    assert mailbox.taken == []


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ("451 try again", TryLater(reason="status_451", status=451)),
        ("550 no", Rejected(reason="status_550", status=550)),
    ],
)
async def test_what_a_mail_server_refuses_is_read_by_its_class(mail, network, refusal, expected):
    mailbox = Mailbox()
    mailbox.refuse = refusal

    assert await email.deliver(notification(), destination(mail(mailbox)), network) == expected


async def test_a_retry_of_a_mail_is_the_same_message():
    settings = EmailSettings(host="h", sender="a@b.example", recipients=["c@d.example"])
    told = notification()
    first = email.compose(told, settings)
    again = email.compose(replace(told, attempt=2), settings)

    assert first["Message-ID"] == again["Message-ID"]
    assert first["References"] == email.compose(notification(kind="resolved"), settings)["References"]


@pytest.mark.parametrize(
    "address", ["", "no", "a@b\r\nBcc: x@y.example", "Name <a@b.example>", "a@", "@b.example"]
)
async def test_what_is_no_address_is_refused(network, address):
    with pytest.raises(InvalidInputError):
        email.check(EmailSettings(host="h.example", sender="a@b.example", recipients=[address]), network)


# All of them


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_refuses_settings_that_it_does_not_know(kind):
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(
            {"unheard_of": 1, **({"url": "https://x.example"} if kind == "webhook" else {})},
            KINDS[kind].settings,
        )
