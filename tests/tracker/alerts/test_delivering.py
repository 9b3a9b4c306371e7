"""The delivery loop against real sockets that fall ill: nothing is lost, and nobody waits for another."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.tracker.alerts.store import channels, notifications
from services.tracker.alerts.workers.delivering import deliver
from services.tracker.alerts.workers.keeping import count_waiting, forget
from shared.http.probes import Health
from shared.observability import metrics
from shared.postgres import create_engine, transaction
from shared.security.administration import set_retention
from tests.tracker.alerts.illness import DRIP, HANG, RESET, Answer, FakeServer
from tests.tracker.support import ORGANIZATION


def ids(server: FakeServer) -> list[str]:
    return [request.headers["webhook-id"] for request in server.requests]


async def test_each_illness_is_survived_and_every_try_carries_the_same_key(
    add_webhook, tell, receiver, deliver_until, states, select, hasty
):
    channel = await add_webhook(receiver)
    receiver.illnesses = [
        Answer(503),
        HANG,
        RESET,
        DRIP,
        Answer(429, headers={"retry-after": "0"}),
        Answer(404),
    ]
    told = await tell(channel)

    await deliver_until(lambda: _all_sent(states), network=hasty)

    attempts = await select(
        "select attempt, outcome, status, reason from tracker.delivery_attempts order by 1"
    )
    assert ids(receiver) == [str(told)] * 7
    assert [(one.outcome, one.status, one.reason) for one in attempts] == [
        ("try_later", 503, "status_503"),
        ("try_later", None, "timed_out"),
        ("try_later", None, "broke_off"),
        ("try_later", None, "timed_out"),
        ("try_later", 429, "status_429"),
        ("try_later", 404, "status_404"),
        ("delivered", 200, None),
    ]
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == list("1234567")


async def test_one_destination_that_hangs_delays_no_other(
    add_webhook, tell, receiver, deliver_until, states, hasty
):
    ill = await FakeServer(always=HANG).start()
    hanging = [await add_webhook(ill) for _ in range(12)]
    for channel in hanging:
        for _ in range(3):
            await tell(channel)
    well = await add_webhook(receiver)
    told = {str(await tell(well, group=str(n))) for n in range(5)}

    async def arrived() -> bool:
        return set(ids(receiver)) == told

    # It has a minute; one after the other, those that hang take 72 seconds.
    await deliver_until(arrived, network=hasty)
    await ill.stop()

    assert set((await states()).values()) == {"sent", "due"}


async def test_a_group_is_told_in_order_and_other_groups_pass_it(
    add_webhook, tell, receiver, deliver_until, states, select
):
    channel = await add_webhook(receiver)
    receiver.illnesses = [Answer(500)]
    first = await tell(channel, group="a")
    last = await tell(channel, group="a", kind="resolved")
    other = await tell(channel, group="b")

    await deliver_until(lambda: _all_sent(states))

    assert [one for one in ids(receiver) if one != str(other)] == [str(first), str(first), str(last)]


async def test_an_update_that_a_newer_one_overtook_is_left_out(
    add_webhook, tell, receiver, deliver_until, states
):
    channel = await add_webhook(receiver)
    firing = await tell(channel)
    stale = [await tell(channel, kind="update") for _ in range(5)]
    newest = await tell(channel, kind="update")

    async def settled() -> bool:
        return "due" not in (await states()).values()

    await deliver_until(settled)

    assert ids(receiver) == [str(firing), str(newest)]
    assert {(await states())[one] for one in stale} == {"superseded"}


async def test_retry_after_holds_the_whole_channel(add_webhook, tell, receiver, delivery, engine, select):
    channel = await add_webhook(receiver)
    receiver.illnesses = [Answer(429, headers={"retry-after": "3600"})]
    await tell(channel, group="a")
    await tell(channel, group="b")
    due = await _due(engine)

    assert await deliver(delivery, due[0], stop=asyncio.Event()) is False

    (row,) = await select("select paused_until - now() as pause, failures from tracker.channels")
    assert timedelta(minutes=59) < row.pause <= timedelta(hours=1)
    assert await _due(engine) == []


async def test_the_circuit_opens_after_three_failures_and_closes_with_a_success(
    add_webhook, tell, receiver, delivery, deliver_until, engine, select, states
):
    channel = await add_webhook(receiver)
    receiver.illnesses = [Answer(500)] * 3
    for group in "abc":
        await tell(channel, group=group)
    for due in await _due(engine):
        await deliver(delivery, due, stop=asyncio.Event())
    (row,) = await select(
        "select failures, paused_until > now() - interval '1 minute' as paused from tracker.channels"
    )
    assert (row.failures, row.paused) == (3, True)

    await deliver_until(lambda: _all_sent(states))

    (row,) = await select("select failures, failing_since, paused_until, last_failure from tracker.channels")
    assert tuple(row) == (0, None, None, None)


async def test_a_channel_that_is_gone_is_disabled_and_another_one_tells_so(
    add_webhook, tell, receiver, deliver_until, states, select
):
    other = await FakeServer().start()
    gone = await add_webhook(receiver, name="billing")
    await add_webhook(other, name="second")
    receiver.always = Answer(410)
    await tell(gone, group="a")
    await tell(gone, group="b")

    async def heard() -> bool:
        return bool(other.requests)

    await deliver_until(heard)
    await other.stop()

    (row,) = await select("select state, disabled_reason from tracker.channels where name = 'billing'")
    assert tuple(row) == ("disabled", "gone")
    (entry,) = await select("select principal_id, action, detail ->> 'reason' as why from tracker.audit_log")
    assert (entry.principal_id.int, entry.action, entry.why) == (0, "channel_disabled", "gone")
    assert len(receiver.requests) == 1
    heard_of = other.requests[0].json["data"]
    assert (
        heard_of["title"]
        == "The alert channel “billing” was disabled: its destination answered that it is gone"
    )
    assert heard_of["runbook"] == "https://reprieve.example/runbooks/channel_failing.md"


async def test_days_of_failure_disable_a_channel_and_end_what_waits(
    add_webhook, tell, receiver, delivery, engine, select, states
):
    channel = await add_webhook(receiver)
    receiver.always = Answer(500)
    await tell(channel, group="a")
    waiting = await tell(channel, group="b")
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await channels.channel_failed(connection, channel, reason="status_500", paused_until=None)
    await _age(engine, "tracker.channels", "failing_since", days=4)

    await deliver(delivery, (await _due(engine))[0], stop=asyncio.Event())

    (row,) = await select("select state, disabled_reason, last_failure from tracker.channels")
    assert tuple(row) == ("disabled", "failed_too_long", "status_500")
    assert (await states())[waiting] == "rejected"
    assert await _due(engine) == []


async def test_a_notification_that_nobody_takes_is_given_up_after_days(
    add_webhook, tell, receiver, delivery, engine, states
):
    channel = await add_webhook(receiver)
    receiver.always = Answer(500)
    told = await tell(channel)
    await _age(engine, "tracker.notifications", "created_at", days=4)

    await deliver(delivery, (await _due(engine))[0], stop=asyncio.Event())

    assert await states() == {told: "rejected"}


async def test_two_processes_never_hold_one_notification(add_webhook, tell, receiver, delivery, engine):
    channel = await add_webhook(receiver)
    await tell(channel)
    (due,) = await _due(engine)

    await asyncio.gather(*(deliver(delivery, due, stop=asyncio.Event()) for _ in range(4)))

    assert len(receiver.requests) == 1


async def test_an_outcome_that_comes_after_its_lease_changes_nothing(
    add_webhook, tell, receiver, delivery, engine, states, select
):
    channel = await add_webhook(receiver)
    told = await tell(channel)
    (due,) = await _due(engine)
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        slow = await notifications.lease(connection, due, lease_seconds=0)
    await deliver(delivery, due, stop=asyncio.Event())

    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        settled = await notifications.settle(
            connection, slow, outcome=_later(), begun_at=slow.created_at, due_at=slow.created_at
        )

    assert settled is False
    assert await states() == {told: "sent"}
    attempts = await select("select attempt, outcome from tracker.delivery_attempts order by attempt")
    assert [tuple(one) for one in attempts] == [(1, "try_later"), (2, "delivered")]


async def test_a_defect_of_ours_is_an_outcome_and_stops_no_other_channel(
    add_channel, add_webhook, tell, receiver, deliver_until, select
):
    broken = await add_channel("webhook", {"url": 7}, "whsec_x")
    well = await add_webhook(receiver)
    await tell(broken)
    await tell(well)

    async def arrived() -> bool:
        return bool(receiver.requests) and bool(
            await select("select 1 from tracker.delivery_attempts where reason = 'defect'")
        )

    await deliver_until(arrived)


async def test_a_destination_is_asked_no_oftener_than_its_rate(add_webhook, tell, receiver, delivery, engine):
    channel = await add_webhook(receiver, rate_per_minute=2)
    for group in "abc":
        await tell(channel, group=group)
    stop = asyncio.Event()
    due = await _due(engine)
    await deliver(delivery, due[0], stop=stop)
    await deliver(delivery, due[1], stop=stop)
    third = asyncio.create_task(deliver(delivery, due[2], stop=stop))
    await asyncio.sleep(0.2)
    stop.set()

    assert await third is False
    assert len(receiver.requests) == 2


@pytest.fixture
async def organization(database):
    """The tests' organization as the installation knows it."""
    async with transaction(owner := create_engine(database.owner, name="test")) as connection:
        await connection.execute(
            text(
                "insert into access.organizations (organization_id, name, time_zone, wrapped_index_key)"
                " values (:id, 'Mine', 'UTC', 'x')"
            ),
            {"id": ORGANIZATION},
        )
    yield owner
    await owner.dispose()


async def test_what_alerts_leave_behind_goes_when_it_is_old(organization, engine, select):
    tables = {
        "alerts": "alert_id, rule_id, rule_version, kind, rule_name, subject, tier, severity, opened_at, resolved_at",
        "silences": "silence_id, match, maintenance, reason, starts_at, ends_at, made_by, made_by_name",
        "missed_deadlines": "case_id, deadline_at",
        "alert_marks": "name, marked_at",
    }
    values = {
        "alerts": "gen_random_uuid(), :rule, 1, 'clock', 'r', n::text, 't', 'info', {at}, {at}",
        "silences": "gen_random_uuid(), '{{}}', false, 'r', {at} - interval '1 hour', {at}, :rule, 'n'",
        "missed_deadlines": "gen_random_uuid(), {at}",
        "alert_marks": "'jumps of ' || n, {at}",
    }
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        for table, columns in tables.items():
            at = "now() - make_interval(days => n)"
            await connection.execute(
                text(
                    f"insert into tracker.{table} (organization_id, {columns})"
                    f" select cast(:o as uuid), {values[table].format(at=at)}"
                    " from unnest(array[10, 50, 100, 200]) as n"
                ).bindparams(**({"rule": ORGANIZATION} if ":rule" in values[table] else {}), o=ORGANIZATION)
            )

    async def left() -> dict[str, int]:
        return {table: (await select(f"select count(*) as n from tracker.{table}"))[0].n for table in tables}

    await forget(engine, keep_days=90, health=Health(), stop=asyncio.Event())
    assert await left() == {"alerts": 2, "silences": 2, "missed_deadlines": 3, "alert_marks": 2}

    await set_retention(organization, organization_id=ORGANIZATION, days=31)
    await forget(engine, keep_days=90, health=Health(), stop=asyncio.Event())
    assert await left() == {"alerts": 1, "silences": 1, "missed_deadlines": 3, "alert_marks": 1}


async def test_old_notifications_go_and_what_waits_stays(
    organization, add_webhook, tell, receiver, delivery, engine, states, select
):
    channel = await add_webhook(receiver)
    await tell(channel)
    (due,) = await _due(engine)
    await deliver(delivery, due, stop=asyncio.Event())
    waiting = await tell(channel, group="b")
    await _age(engine, "tracker.notifications", "created_at", days=91)

    await count_waiting(engine)
    assert metrics.NOTIFICATIONS_WAITING._value.get() == 1
    await forget(engine, keep_days=90, health=Health(), stop=asyncio.Event())

    assert await states() == {waiting: "due"}
    assert await select("select 1 from tracker.delivery_attempts") == []


async def test_another_organization_sees_none_of_it(add_webhook, tell, receiver, select):
    from uuid import uuid4

    await tell(await add_webhook(receiver))
    for table in ("channels", "notifications", "delivery_attempts"):
        assert await select(f"select 1 from tracker.{table}", organization=uuid4()) == []


async def _all_sent(states) -> bool:
    return set((await states()).values()) == {"sent"}


async def _due(engine) -> list:
    async with transaction(engine) as connection:
        return await notifications.due_notifications(connection, limit=100)


async def _age(engine, table: str, column: str, *, days: int) -> None:
    from sqlalchemy import text

    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await connection.execute(text(f"update {table} set {column} = now() - make_interval(days => {days})"))


def _later():
    from services.tracker.alerts.domain.outcomes import TryLater

    return TryLater(reason="status_500")
