"""The feed of case events: every one once, in the order of commits, whoever writes at the same time."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from services.tracker.api import events as stream_module
from services.tracker.store.feed import Place, announce, forget_old, last_place, told_after
from shared.contracts.case_events import CaseOpened
from shared.postgres import transaction
from tests.tracker.site import Site
from tests.tracker.support import KEY, ORGANIZATION, denial, outcome


def opened(organization=ORGANIZATION, version: int = 1) -> CaseOpened:
    return CaseOpened(
        organization_id=organization,
        case_event_id=uuid4(),
        case_id=uuid4(),
        version=version,
        occurred_at=datetime.now(UTC),
        state="open",
        category="unclear",
        auth_related=True,
        amount_at_stake=1,
    )


async def feed(client, **query) -> dict:
    answer = await client.get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def read_all(engine, *, at_once: int = 7) -> list[str]:
    place, seen = Place(), []
    while True:
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            told = await told_after(connection, ORGANIZATION, place, limit=at_once)
        seen += [msgspec.json.decode(one.payload)["case_event_id"] for one in told]
        if len(told) < at_once:
            return seen
        place = told[-1].place


async def test_the_feed_tells_what_the_topic_tells(site: Site, deny, record, select):
    event = await deny()
    await record(
        outcome("paid", organization_id=site.organization, claim_key=event.claim_key, claim_number="A-1")
    )

    told = await feed(site["viewer"])

    assert [one["type"] for one in told["data"]] == ["CaseOpened", "CaseClosed"]
    assert [one["data"]["version"] for one in told["data"]] == [1, 2]
    assert told["has_more"] is False
    assert "A-1" not in str(told)


async def test_a_reader_goes_on_from_its_cursor_also_in_the_middle_of_a_batch(site: Site, record):
    await record(*(denial(organization_id=site.organization, claim_key=uuid4()) for _ in range(5)))
    first = await feed(site["viewer"], limit=3)
    await record(denial(organization_id=site.organization, claim_key=uuid4()))
    second = await feed(site["viewer"], limit=3, cursor=first["next_cursor"])
    third = await feed(site["viewer"], cursor=second["next_cursor"])

    ids = [one["data"]["case_event_id"] for one in first["data"] + second["data"]]
    assert (len(set(ids)), first["has_more"], second["has_more"]) == (6, True, False)
    assert third["data"] == []
    assert third["next_cursor"] == second["next_cursor"]


async def test_writers_at_the_same_time_lose_no_event_of_a_reader_that_keeps_up(engine):
    """Each reader reads on from the last that it saw, while twelve writers commit in any order."""
    written: list[str] = []
    done = asyncio.Event()

    async def write(pause: float) -> None:
        for _ in range(5):
            one = opened()
            async with transaction(engine, organizations=[ORGANIZATION]) as connection:
                await asyncio.sleep(pause)
                await announce(connection, [one])
                await asyncio.sleep(pause)
            written.append(str(one.case_event_id))

    async def follow() -> list[str]:
        place, seen = Place(), []
        while True:
            last_look = done.is_set()
            async with transaction(engine, organizations=[ORGANIZATION]) as connection:
                told = await told_after(connection, ORGANIZATION, place, limit=10)
            seen += [msgspec.json.decode(one.payload)["case_event_id"] for one in told]
            place = told[-1].place if told else place
            if last_look and not told:
                return seen

    following = asyncio.create_task(follow())
    await asyncio.gather(*(write(number / 1000) for number in range(6)))
    done.set()
    seen = await following

    assert sorted(seen) == sorted(written)
    assert seen == await read_all(engine)


async def test_what_was_rolled_back_is_not_told_and_leaves_no_gap(engine):
    with contextlib.suppress(ZeroDivisionError):
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await announce(connection, [opened()])
            raise ZeroDivisionError
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await announce(connection, [opened(), opened()])
        place = await last_place(connection, ORGANIZATION)

    assert place == Place(1, 2)


async def test_organizations_are_counted_apart_and_see_nothing_of_each_other(site: Site, deny):
    await deny()

    theirs = await feed(site["stranger"])
    mine = await feed(site["viewer"])
    with_my_cursor = await feed(site["stranger"], cursor=mine["next_cursor"])

    assert (theirs["data"], with_my_cursor["data"]) == ([], [])
    assert len(mine["data"]) == 1


async def test_old_entries_go_but_the_count_goes_on(engine, select):
    for _ in range(3):
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await announce(connection, [opened()])

    assert await forget_old(engine, before=datetime.now(UTC) - timedelta(days=90)) == 0
    assert await forget_old(engine, before=datetime.now(UTC) + timedelta(days=1)) == 2
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await announce(connection, [opened()])
    assert [row.number for row in await select("select number from tracker.feed order by 1")] == [3, 4]


async def test_a_feed_since_an_instant_leaves_out_what_was_before(site: Site, deny):
    await deny()
    between = datetime.now(UTC)
    event = await deny()

    [one] = (await feed(site["viewer"], since=between.isoformat()))["data"]

    assert one["data"]["occurred_at"] > between.isoformat().replace("+00:00", "Z")
    assert event.claim_key != KEY


class Stream:
    """A caller of /v1/events/stream, at the app's own door."""

    def __init__(self, site: Site, role: str, **headers: str) -> None:
        client = site[role]
        self.app = client._transport.app
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.status = 0
        self.left = asyncio.Event()
        given = {"authorization": client.headers["authorization"], **headers}
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/v1/events/stream",
            "raw_path": b"/v1/events/stream",
            "query_string": b"",
            "scheme": "http",
            "server": ("tracker", 80),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }

    async def __aenter__(self):
        asked = False

        async def receive():
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            self.status = message.get("status", self.status)
            if message.get("body"):
                await self.chunks.put(message["body"])

        self.task = asyncio.create_task(self.app(self.scope, receive, send))
        return self

    async def __aexit__(self, *_):
        self.left.set()
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def event(self) -> dict:
        while True:
            chunk = (await asyncio.wait_for(self.chunks.get(), 20)).decode()
            if chunk.startswith("id:"):
                return dict(line.split(": ", 1) for line in chunk.strip().splitlines())


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(stream_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(stream_module, "HEARTBEAT_SECONDS", 0.05)


async def test_a_stream_sends_what_happens_and_is_taken_up_where_it_broke_off(site: Site, deny, quick):
    await deny()
    async with Stream(site, "viewer") as stream:
        assert (await stream.chunks.get()).startswith(b"retry")
        assert (await asyncio.wait_for(stream.chunks.get(), 20)).startswith(b": ")
        await deny()
        first = await stream.event()
    await deny()
    async with Stream(site, "viewer", **{"last-event-id": first["id"]}) as stream:
        second = await stream.event()

    assert (first["event"], stream.status) == ("CaseOpened", 200)
    assert msgspec.json.decode(first["data"])["case_id"] != msgspec.json.decode(second["data"])["case_id"]


async def test_a_stream_ends_when_its_key_is_revoked(site: Site, database, quick, monkeypatch):
    monkeypatch.setattr("shared.security.principals.REMEMBERED_SECONDS", 0.0)
    async with Stream(site, "viewer") as stream:
        await stream.chunks.get()
        await database.server.execute("update access.api_keys set revoked_at = now()", database=database.name)
        await asyncio.wait_for(stream.task, 20)


@pytest.fixture
def few_streams(monkeypatch):
    monkeypatch.setattr(stream_module, "STREAMS_MAX", 2)


async def test_more_streams_than_a_process_keeps_are_told_to_come_again(few_streams, site: Site, quick):
    async with Stream(site, "viewer") as first, Stream(site, "viewer") as second:
        await first.chunks.get()
        await second.chunks.get()
        async with Stream(site, "viewer") as third:
            await third.chunks.get()

            assert [one.status for one in (first, second, third)] == [200, 200, 503]


async def test_streams_that_are_asked_for_at_once_are_counted_too(few_streams, site: Site, quick):
    async with contextlib.AsyncExitStack() as open_ones:
        streams = [await open_ones.enter_async_context(Stream(site, "viewer")) for _ in range(6)]
        async with asyncio.timeout(20):
            while sum(one.task.done() for one in streams) < 4:
                await asyncio.sleep(0.01)

        assert sum(not one.task.done() for one in streams) == 2


async def test_one_caller_cannot_hold_all_streams(site: Site, quick, monkeypatch):
    monkeypatch.setattr(stream_module, "STREAMS_OF_ONE_MAX", 1)
    async with Stream(site, "viewer") as first:
        await first.chunks.get()
        async with Stream(site, "viewer") as second, Stream(site, "biller") as another:
            await second.chunks.get()
            await another.chunks.get()

            assert [one.status for one in (first, second, another)] == [200, 503, 200]
