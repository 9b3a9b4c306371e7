"""The evaluator over a real database: cases in, notifications out, whatever interrupts it."""

import asyncio
import itertools
import json
import random
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.tracker.alerts.channels.kinds import KINDS as CHANNELS
from services.tracker.alerts.domain.content import decode_content
from services.tracker.alerts.domain.defaults import INSTALLATION, default_rules
from services.tracker.alerts.domain.pipeline import Fact
from services.tracker.alerts.domain.routing import Route, Routing
from services.tracker.alerts.domain.rules import (
    KINDS,
    Clock,
    DeadlineMissed,
    DenialJump,
    FollowUp,
    InformationRequest,
    MorningDigest,
    NewCase,
    Only,
    Pipeline,
    Rule,
    Tier,
    Unowned,
)
from services.tracker.alerts.domain.wording import days_left
from services.tracker.alerts.store.alerts import mark
from services.tracker.alerts.store.settings import choose, keep_rule, remove_rule, rules_of
from services.tracker.alerts.workers import loops
from services.tracker.alerts.workers.evaluating import Memory, look_at
from services.tracker.store.cases import roll_deadlines
from shared import clock
from shared.http.probes import Health
from shared.postgres import transaction
from tests.tracker.alerts.conftest import notification
from tests.tracker.support import ORGANIZATION, denial, outcome, person
from tests.tracker.support import clock as clock_of

SECONDS = timedelta(seconds=1)
MINUTES = timedelta(minutes=1)
EVERY_DAY = {"weekdays": tuple(range(7)), "country": "", "zone": "UTC"}


def zone_of_a_young_day() -> str:
    """Give a zone where midnight was less than an hour ago."""
    hour = datetime.now(UTC).hour
    return f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}"


def rule(settings, **given) -> Rule:
    return Rule(rule_id=uuid4(), name=f"a rule of {settings.kind}", settings=settings, **given)


@pytest.fixture
def site(engine, select):
    """An organization with one channel, one route to it, and the rules that a test gives it."""

    class Site:
        def __init__(self) -> None:
            self.memory: Memory = {}

        channel_id = uuid4()
        now = clock.now()

        async def begin(self, *rules: Rule, organization: UUID = ORGANIZATION, zone: str = "UTC") -> None:
            async with transaction(engine, organizations=[organization]) as connection:
                await connection.execute(
                    text(
                        "insert into tracker.channels (organization_id, channel_id, name, kind, settings)"
                        " values (:organization, :channel, 'c', 'webhook', '{}')"
                    ),
                    {"organization": organization, "channel": self.channel_id},
                )
                routing = Routing(route=Route(name="all", channels="all"))
                calendar = EVERY_DAY | {"zone": zone}
                assert await choose(connection, organization, routing=routing, calendar=calendar, version=1)
                for one in rules:
                    assert await keep_rule(connection, organization, one)
                # As if it had been looked at a moment ago: what is found now is no catch-up.
                await mark(connection, organization, "look", self.now)

        async def look(self, *, after: timedelta = timedelta(0), organization=ORGANIZATION, **given):
            self.now += after
            return await look_at(engine, organization, at=self.now, memory=self.memory, **given)

        async def rest(self, length: timedelta) -> None:
            """Let time pass in which the evaluator looked, and found nothing."""
            self.now += length
            async with transaction(engine, organizations=[ORGANIZATION]) as connection:
                await mark(connection, ORGANIZATION, "look", self.now)

        async def told(self, organization=ORGANIZATION):
            return await select(
                "select kind, severity, group_key, dedup_key, content from tracker.notifications"
                " order by position",
                organization=organization,
            )

        async def open(self, organization=ORGANIZATION):
            return await select(
                "select kind, subject, tier, severity, case_id from tracker.alerts"
                " where resolved_at is null order by opened_at, tier, kind, subject",
                organization=organization,
            )

    return Site()


def in_days(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=number)


def near(days: float, **given):
    return denial(claim_key=uuid4(), clocks=(clock_of(in_days(days), zone="UTC"),), **given)


_PASS = text("""
    update tracker.cases set opened_at = opened_at - (next_deadline_at - now()) - interval '10 minutes',
        deadlines = array[now() - interval '10 minutes'], next_deadline_at = now() - interval '10 minutes'
    where claim_key = :claim_key and cardinality(deadlines) = 1
""")


async def pass_deadline(engine, one) -> None:
    """Let a case be as old as it is when its deadline has passed, a while before the tests' clock began."""
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        assert (await connection.execute(_PASS, {"claim_key": one.claim_key})).rowcount == 1


async def test_a_clock_is_told_escalates_and_resolves_when_the_claim_is_paid(site, record):
    await site.begin(
        rule(
            Clock(
                tiers=(
                    Tier(hours=24, severity="warning"),
                    Tier(hours=2, severity="critical"),
                )
            )
        ),
        zone=zone_of_a_young_day(),  # what follows is one day's: another day is told of anew
    )
    first = near(0.5, charge=2500)
    await record(first, near(5))
    await site.look()
    await site.look(after=MINUTES)
    ((kind, severity, _, key, content),) = await site.told()
    assert (kind, severity) == ("firing", "warning")
    left = days_left((first.clocks[0].deadline_at.date() - site.now.date()).days)
    assert content["title"] == f"1 case close to its deadline, {left}, $2,500.00 at stake"
    (line,) = content["lines"]
    assert set(line) == {"case_id", "payer", "category", "amount", "days_left", "deadline_on", "zone"}

    await site.rest(timedelta(hours=11))
    await site.look()
    assert [(one.tier, one.severity) for one in await site.open()] == [("2h", "critical")]
    assert [row.kind for row in await site.told()] == ["firing", "update"]

    await record(outcome("paid", claim_key=first.claim_key, charge=2500))
    await site.look(after=6 * MINUTES)

    assert await site.open() == []
    assert [(row.kind, row.dedup_key) for row in await site.told()][-1] == ("resolved", key)


# One rule of every kind that is about cases: a kind that is missing here fails the test.
OF_EVERY_KIND = (
    Clock(),
    NewCase(amount_at_least=Decimal(1)),
    Unowned(hours=0),
    DeadlineMissed(),
    FollowUp(),
    InformationRequest(),
    DenialJump(),
    MorningDigest(at=time(0)),
)


async def test_nothing_of_a_claim_or_a_person_gets_into_an_alert_or_a_message(site, engine, record, select):
    await site.begin(*map(rule, OF_EVERY_KIND))
    planted = {
        "claim_number": "PLANTED-1",
        "payer_claim_number": "PLANTED-2",
        "trace_number": "PLANTED-3",
        "patient": person("PLANTED name", "PLANTED member", "PLANTED sealed"),
    }
    today = datetime.now(UTC).date()
    history = [near(90, on=today - timedelta(days=8 + 3 * n), **planted) for n in range(18)]
    jump = [near(90, on=today - timedelta(days=n % 5), **planted) for n in range(25)]
    soon, asked = near(0.1, **planted), near(60, **planted)
    await record(*history, *jump, soon, near(0.5, **planted), asked)
    await pass_deadline(engine, soon)
    await roll_deadlines(engine)
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await connection.execute(
            text(
                "update tracker.cases set follow_up_on = cast(now() at time zone 'UTC' as date), state = 'information_requested',"
                " information_due_at = now() + interval '1 day' where claim_key = :asked"
            ),
            {"asked": asked.claim_key},
        )
    for _ in range(3):
        await site.look(after=MINUTES)
    alerts = await select("select kind, cast(to_jsonb(a) as text) as row from tracker.alerts a")
    messages = await site.told()

    wanted = {name for name, kind in KINDS.items() if kind.about != "pipeline"}
    assert {one.kind for one in alerts} == wanted - {"morning_digest"}
    assert {one.content["runbook"] for one in messages} == wanted
    assert "PLANTED" in str(await select("select claim_number from tracker.cases"))
    assert "PLANTED" not in str([*alerts, *messages])
    for message, channel in itertools.product(messages, CHANNELS.values()):
        told = notification(kind=message.kind, content=decode_content(json.dumps(message.content)))
        assert "PLANTED" not in channel.render(told).decode()


async def test_looking_twice_changes_nothing(site, record):
    await site.begin(rule(Clock()), rule(NewCase(amount_at_least=Decimal(50))))
    await record(near(0.5), near(0.6))
    await site.look()
    before = await site.open()

    assert await site.look() == (0, 0, 0)
    assert await site.open() == before
    assert len(before) == 4


async def test_a_deadline_that_passes_while_it_is_our_turn_is_missed(site, record, engine, select, database):
    await site.begin(rule(DeadlineMissed()))
    soon = near(0.1)
    await record(soon, near(1))
    await pass_deadline(engine, soon)
    await roll_deadlines(engine)
    await site.look(after=10 * SECONDS)

    ((kind, *_),) = await site.open()

    assert kind == "deadline_missed"
    assert len(await select("select * from tracker.missed_deadlines")) == 1


async def test_after_an_outage_there_is_one_message_a_channel(site, record):
    rules = rule(Clock()), rule(NewCase(amount_at_least=Decimal(1))), rule(Unowned(hours=0))
    await site.begin(*rules)
    await record(*(near(0.5 + n / 100) for n in range(40)))
    await site.look(after=timedelta(hours=1))
    for _ in range(5):
        await site.look(after=MINUTES)

    ((kind, _, key, _, content),) = await site.told()

    assert (kind, key[:9]) == ("firing", "catch_up:")
    assert content["totals"]["count"] == 120
    assert content["runbook"] == "catch_up"


async def test_killed_at_random_points_it_loses_and_doubles_nothing(site, record):
    await site.begin(rule(Clock()), rule(NewCase(amount_at_least=Decimal(1))))
    chance = random.Random(11)  # noqa: S311  a simulation
    for _ in range(12):
        await record(near(0.5), near(0.7))
        if chance.random() < 0.3:
            site.memory.clear()  # it was the process that was killed
        look = asyncio.ensure_future(site.look(after=20 * SECONDS))
        await asyncio.wait([look], timeout=chance.random() * 0.15)
        look.cancel()
        await asyncio.gather(look, return_exceptions=True)
    for _ in range(3):
        await site.look(after=6 * MINUTES)

    opened = await site.open()
    told = await site.told()

    assert len(opened) == len({(one.kind, one.subject) for one in opened}) == 48
    for kind in ("clock", "new_case"):
        messages = [row for row in told if row.content["runbook"] == kind]
        assert [row.kind for row in messages] == ["firing", *["update"] * (len(messages) - 1)]
        assert messages[-1].content["totals"]["count"] == 24
        counts = [row.content["totals"]["count"] for row in messages]
        assert counts == sorted(set(counts))  # each message tells more than the one before


async def test_looks_that_remember_find_what_one_that_goes_through_all_would(site, record, engine):
    settings = (
        Clock(tiers=(Tier(business_days=2, severity="info"), Tier(hours=5, severity="error"))),
        NewCase(amount_at_least=Decimal(150), hours=8),
        Unowned(hours=6, business_days_left=1),
        DeadlineMissed(business_days=1),
    )
    await site.begin(*map(rule, settings))
    chance = random.Random(5)  # noqa: S311  a simulation
    seen = set()
    cases = []
    for _ in range(15):
        cases += [near(chance.random() * 5, charge=chance.choice((100, 200))) for _ in range(3)]
        paid = cases.pop(chance.randrange(len(cases)))
        await record(*cases[-2:], outcome("paid", claim_key=paid.claim_key, charge=200))
        await site.rest(timedelta(hours=4) * chance.random())
        await site.look()
        if chance.random() < 0.3:
            await roll_deadlines(engine)
        found = await site.open()
        seen |= {(one.kind, one.tier) for one in found}

        assert (await look_at(engine, ORGANIZATION, at=site.now))[:2] == (0, 0)
        assert await site.open() == found
    assert len(seen) >= 6


async def test_a_rule_that_is_switched_off_resolves_what_it_found(site, record, engine):
    one = rule(Clock())
    await site.begin(one, rule(FollowUp()))
    await record(near(0.5))
    await site.look()
    assert len(await site.open()) == 1

    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        assert await keep_rule(
            connection, ORGANIZATION, one.model_copy(update={"enabled": False, "version": 2})
        )
    await site.look()

    assert await site.open() == []


async def test_a_changed_rule_judges_its_open_alerts_anew(site, record, engine):
    one = rule(Clock(tiers=(Tier(hours=24, severity="info"),)))
    await site.begin(one)
    await record(near(0.5))
    await site.look()

    narrower = Clock(tiers=(Tier(hours=1, severity="info"),))
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await keep_rule(connection, ORGANIZATION, one.model_copy(update={"settings": narrower, "version": 2}))
    await site.look()

    assert await site.open() == []


async def test_denials_that_jump_are_told_once_a_day_and_resolve(site, record):
    today = datetime.now(UTC).date()
    await site.begin(rule(DenialJump()))
    history = [near(90, on=today - timedelta(days=8 + 3 * n)) for n in range(18)]
    await record(*history, *(near(90, on=today - timedelta(days=n % 5)) for n in range(25)))
    await site.look()
    ((kind, *_),) = await site.open()
    assert kind == "denial_jump"

    assert await site.look(after=MINUTES) == (0, 0, 1)
    (message,) = await site.told()
    assert "25 denials in 7 days" in message.content["lines"][0]["label"]

    await site.look(after=timedelta(days=8))
    assert await site.open() == []


async def test_a_digest_goes_out_once_a_morning(site, record):
    now = datetime.now(UTC)
    due = (now - timedelta(minutes=5)).time().replace(tzinfo=None)
    if now.time() < time(0, 10):
        pytest.skip("the day is too young")
    await site.begin(rule(MorningDigest(at=due), only=Only(payers=("Acme Health",))))
    await record(near(0.01, charge=300), near(40, charge=700))
    await site.look(after=2 * SECONDS)
    await site.look(after=MINUTES)

    (message,) = await site.told()

    assert message.kind == "digest"
    labels = [line.get("label") for line in message.content["lines"]]
    assert labels[0] == "2 new"
    assert labels[2].startswith("2 open")
    assert message.content["title"] == "1 due this week, $1,000.00 at risk"


async def test_the_pipeline_is_the_operators(site):
    silent = Fact("silent_feed", "feed=a", "feed a", 1)
    await site.begin(rule(Pipeline(kind="silent_feed")), organization=INSTALLATION)
    await site.look(organization=INSTALLATION, facts=[silent])
    assert [one.kind for one in await site.open(INSTALLATION)] == ["silent_feed"]

    await site.look(organization=INSTALLATION, facts=None, after=5 * SECONDS)
    assert [one.kind for one in await site.open(INSTALLATION)] == ["silent_feed"]  # nothing is known

    await site.look(organization=INSTALLATION, facts=[], after=MINUTES)

    assert await site.open(INSTALLATION) == []
    assert await site.told(INSTALLATION) == []  # it was gone before anybody had to be told


async def test_an_organization_never_sees_the_installations_figures(site):
    await site.begin(rule(Pipeline(kind="silent_feed")))
    await site.look(facts=[Fact("silent_feed", "feed=a", "feed a", 1)])

    assert await site.open() == []


async def test_a_rule_that_cannot_be_applied_keeps_no_other_from_being(site, record):
    await site.begin(rule(MorningDigest(zone="Mars/Olympus")), rule(NewCase(amount_at_least=None)))
    await record(near(1))

    await site.look()

    assert [one.kind for one in await site.open()] == ["new_case"]


async def test_an_organization_that_cannot_be_looked_at_keeps_no_other_waiting(
    site, record, engine, monkeypatch
):
    broken = uuid4()
    await site.begin(rule(NewCase(amount_at_least=None)))
    async with transaction(engine, organizations=[broken]) as connection:
        routing = Routing(route=Route(name="all"))
        await choose(connection, broken, routing=routing, calendar={"zone": "Mars/Olympus"}, version=1)
    await record(near(1))

    async def known(_connection):
        return [(broken, "UTC"), (ORGANIZATION, "UTC")]

    monkeypatch.setattr(loops, "zones", known)
    await loops.look_everywhere(engine, at=clock.now(), facts=(), case_link=None, health=Health())

    assert [one.kind for one in await site.open()] == ["new_case"]


async def test_default_rules_are_there_at_the_first_look(engine, select):
    await look_at(engine, ORGANIZATION, at=clock.now())

    kinds = await select("select settings ->> 'kind' as kind from tracker.alert_rules order by 1")

    assert "clock" in {row.kind for row in kinds}


async def test_a_default_that_a_later_release_brought_is_added_and_a_removed_one_stays_away(engine):
    defaults = default_rules(ORGANIZATION)
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        for one in defaults[1:]:
            await keep_rule(connection, ORGANIZATION, one)
        await remove_rule(connection, ORGANIZATION, defaults[2].rule_id)

        found = await rules_of(connection, ORGANIZATION)

    assert {one.name for one in found} == {one.name for one in (*defaults[:2], *defaults[3:])}


async def test_whose_rules_are_all_of_their_own_get_no_defaults(engine):
    mine = rule(Clock())
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await keep_rule(connection, ORGANIZATION, mine)

        assert await rules_of(connection, ORGANIZATION) == [mine]
