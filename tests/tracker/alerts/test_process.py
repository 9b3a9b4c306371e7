"""tracker-alerts as a process, killed in the middle; and the command line against a running tracker."""

import asyncio
import base64
import os
import sys
import time
from collections import Counter
from uuid import UUID, uuid4

import httpx2
import pytest

from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.notification import Secret
from services.tracker.alerts.store import channels, notifications
from shared.postgres import create_engine, transaction
from shared.security.administration import create_organization, create_principal_with_key
from shared.security.sealing import MasterKey
from tests.support.ports import free_port
from tests.tracker.alerts.conftest import CONTENT
from tests.tracker.alerts.illness import HANG, RESET, Answer, FakeServer
from tests.tracker.alerts.test_channels import OLD_KEY, PagerDuty, Slack
from tests.tracker.site import MASTER_KEY

SECONDS = 120


@pytest.fixture
async def organization(database) -> UUID:
    owner = create_engine(database.owner, name="test")
    made = await create_organization(
        owner, name="Mine", time_zone="UTC", master_key=MasterKey.from_text(MASTER_KEY)
    )
    await owner.dispose()
    return made.organization_id


@pytest.fixture
async def start(database):
    """Start processes of the tracker that end with the test; gives each with its address."""
    running = []

    async def start(process: str, *, patience_seconds: int = 1) -> tuple[asyncio.subprocess.Process, str]:
        port = free_port()
        settings = {
            "REPRIEVE_DATABASE_URL": database.url("reprieve_tracker"),
            "REPRIEVE_MASTER_KEY": MASTER_KEY,
            "REPRIEVE_PORT": str(port),
            "REPRIEVE_ALERTS_ALLOW_HOSTS": "127.0.0.1",
            "REPRIEVE_ALERTS_TIMEOUT_SECONDS": str(patience_seconds),
            "REPRIEVE_ALERTS_FIRST_RETRY_SECONDS": "0.1",
            "REPRIEVE_ALERTS_LONGEST_RETRY_SECONDS": "1",
        }
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-c", f"from services.serve import serve; serve('{process}')",
            env={**os.environ, **settings}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        running.append(started)
        return started, f"http://127.0.0.1:{port}"

    yield start
    for one in running:
        if one.returncode is None:
            one.kill()
            await one.wait()


async def until(true) -> None:
    deadline = time.monotonic() + SECONDS
    while not await true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def ready(url: str) -> None:
    async with httpx2.AsyncClient() as client:

        async def answers() -> bool:
            try:
                return (await client.get(f"{url}/readyz")).is_success
            except httpx2.TransportError:
                return False

        await until(answers)


@pytest.fixture
def add(engine, organization):
    async def add(kind: str, settings: dict, secret: str, told: int) -> list[UUID]:
        """Add a channel with so many things to tell, each of its own group."""
        place = {"organization_id": organization, "channel_id": uuid4()}
        ids = [uuid4() for _ in range(told)]
        async with transaction(engine, organizations=[organization]) as connection:
            await channels.add_channel(
                connection,
                **place,
                name=str(place["channel_id"]),
                kind=kind,
                settings=settings,
                sealed_secret=channels.seal_secret(
                    MasterKey.from_text(MASTER_KEY), Secret(current=secret), **place
                ),
                rate_per_minute=10_000,
            )
            for one in ids:
                await notifications.add_notification(
                    connection,
                    **place,
                    notification_id=one,
                    group_key=str(one),
                    dedup_key=f"key:{one}",
                    kind="firing",
                    severity="error",
                    content=CONTENT,
                )
        return ids

    return add


async def slow(server: FakeServer, seconds: float) -> FakeServer:
    """Let a server think, so that a kill falls into the middle of many requests."""
    quick = server._answer

    async def think(request, writer) -> None:
        await asyncio.sleep(seconds)
        await quick(request, writer)

    server._answer = think
    return await server.start()


@pytest.mark.slow
async def test_kill_9_in_the_middle_loses_nothing_and_repeats_only_under_the_same_key(
    start, add, engine, organization, select
):
    hook, slack, pager = (
        await slow(FakeServer(), 0.1),
        await slow(Slack(), 0.05),
        await slow(PagerDuty(), 0.1),
    )
    ill = await FakeServer(always=HANG).start()
    hook.illnesses = [Answer(503), RESET, Answer(429, headers={"retry-after": "1"})]
    pager.illnesses = [Answer(500), Answer(429, headers={"retry-after": "1"})]
    secret = KINDS["webhook"].make_secret()
    hanging = await add("webhook", {"url": ill.url}, secret, 3)
    hooked = await add("webhook", {"url": hook.url}, secret, 12)
    paged = await add("pagerduty", {"api_url": pager.url}, OLD_KEY, 12)
    slacked = await add("slack_bot", {"channel": "C1", "api_url": slack.url}, "xoxb-good", 8)

    def arrived() -> int:
        return min(len(hook.requests), len(slack.requests), len(pager.requests))

    process, _ = await start("tracker-alerts")

    async def in_the_middle() -> bool:
        return arrived() >= 4

    await until(in_the_middle)
    process.kill()
    await process.wait()
    process, _ = await start("tracker-alerts")

    async def all_sent() -> bool:
        found = await select(
            "select notification_id from tracker.notifications where state = 'sent'",
            organization=organization,
        )
        return {UUID(str(row.notification_id)) for row in found} >= {*hooked, *paged, *slacked}

    await until(all_sent)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 60) == 0
    for server in (hook, slack, pager, ill):
        await server.stop()

    assert set(Counter(one.headers["webhook-id"] for one in hook.requests)) == {str(one) for one in hooked}
    assert pager.open == {(OLD_KEY, f"key:{one}") for one in paged}
    posted = [one for one in slack.messages.values() if "thread_ts" not in one]
    assert {one["blocks"][0]["block_id"] for one in posted} == {str(one) for one in slacked}
    assert {one.headers["webhook-id"] for one in ill.requests} <= {str(one) for one in hanging}


@pytest.mark.slow
async def test_the_command_line_keeps_and_tests_a_channel(
    start, engine, database, organization, receiver, tmp_path
):
    owner = create_engine(database.owner, name="test")
    key = await create_principal_with_key(owner, role="admin", name="a", organization_id=organization)
    await owner.dispose()
    (_, url), _ = await start("tracker-api"), await start("tracker-alerts", patience_seconds=30)
    await ready(url)
    environment = {**os.environ, "REPRIEVE_TRACKER_URL": url, "REPRIEVE_API_KEY": key.text}

    async def reprieve(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", "alerts", *arguments,
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    secret_file = tmp_path / "secret"
    secret_file.write_text("whsec_" + base64.b64encode(b"s" * 32).decode() + "\n")
    added = await reprieve(
        "channels",
        "add",
        "billing",
        "webhook",
        "--set",
        f"url={receiver.url}",
        "--secret-file",
        str(secret_file),
    )
    tested = await reprieve("test", "billing", "--wait-seconds", "120")
    listed = await reprieve("channels")
    receiver.always = Answer(410)
    gone = await reprieve("test", "billing", "--wait-seconds", "120")
    attempts = await reprieve("attempts", "billing")
    enabled = await reprieve("channels", "enable", "billing")
    rotated = await reprieve("channels", "rotate", "billing")
    unknown = await reprieve("test", "nobody")

    assert added[0] == 0, added
    assert tested == (0, "sent: delivered\n")
    assert "active, delivered" in " ".join(listed[1].split())
    assert gone == (1, "rejected: gone\n")
    assert "rejected gone" in " ".join(attempts[1].split())
    assert enabled == (0, "active, delivered" + enabled[1][17:])
    assert rotated[1].startswith("whsec_")
    assert unknown[0] == 2
