"""What the metrics of other processes say of the pipeline, over real HTTP."""

from datetime import datetime, timedelta

from services.tracker.alerts.domain.pipeline import Fact, stands
from services.tracker.alerts.domain.rules import Pipeline
from services.tracker.alerts.workers.watching import PipelineWatch
from shared import clock
from tests.tracker.alerts.illness import HANG, Answer, FakeServer

NOW = clock.now()
HALF_A_MINUTE = timedelta(seconds=30)


def says(*lines: str) -> Answer:
    other = "# HELP python_info About.\n# TYPE python_info gauge\npython_info 1.0\n"
    return Answer(body="\n".join((other, *lines, "")).encode())


def lag(value: int) -> str:
    return f'reprieve_consumer_lag{{group="tracker",topic="claim-decisions"}} {value}'


def dead(value: int) -> str:
    return f'reprieve_records_dead_total{{group="tracker",topic="claim-decisions"}} {value}'


async def lags(watch: PipelineWatch, at: datetime) -> list[Fact]:
    return [fact for fact in await watch.facts(at) if fact.kind == "consumer_lag"]


async def test_figures_are_said_in_words_and_with_the_key(receiver):
    receiver.always = says(
        'reprieve_feed_silent{submitter_id="s",feed="nightly"} 1',
        "reprieve_quarantined_claims 14",
        'reprieve_outbox_oldest_seconds{table="ingest.claim_events"} 1200',
        lag(20_000),
    )
    found = await PipelineWatch([receiver.url], "rpv_key").facts(NOW)

    assert {fact.kind: fact.label for fact in found if fact.value} == {
        "silent_feed": "feed nightly is silent",
        "quarantined_claims": "14 claims wait in quarantine",
        "unsettled_events": "ingest.claim_events: the oldest event is unsettled for 20 minutes",
        "consumer_lag": "tracker is 20,000 records behind on claim-decisions",
    }
    assert receiver.requests[0].headers["authorization"] == "Bearer rpv_key"


async def test_who_does_not_answer_has_not_recovered(receiver):
    watch = PipelineWatch([receiver.url], "k")
    receiver.illnesses = [says(lag(7)), Answer(401), Answer(500), says("reprieve_consumer_lag{")]
    values = [(await watch.facts(NOW + n * HALF_A_MINUTE))[0].value for n in range(4)]
    receiver.always = says(lag(0))

    assert values == [7, 7, 7, 7]
    assert (await watch.facts(NOW + 4 * HALF_A_MINUTE))[0].value == 0


async def test_who_does_not_answer_for_minutes_is_told_until_it_does(receiver):
    late = await FakeServer(always=Answer(401)).start()
    watch = PipelineWatch([receiver.url, late.url], "k")
    rule = Pipeline(kind="silent_process", for_seconds=90)
    told, stood = [], False
    for n in range(8):
        late.always = Answer(401) if n < 6 else says(lag(0))
        at = NOW + n * HALF_A_MINUTE
        standing = [fact for fact in await watch.facts(at) or () if stands(rule, fact, at=at, stood=stood)]
        told.append([fact.label for fact in standing])
        stood = bool(standing)
    await late.stop()

    silent = [f"127.0.0.1:{late.port} does not answer"]
    assert told == [[], [], [], [], silent, silent, [], []]  # nothing is known while all of it starts


async def test_they_are_asked_every_half_a_minute(receiver):
    receiver.always = says(lag(1))
    watch = PipelineWatch([receiver.url], "k")
    for seconds in (0, 15, 29, 30, 45):
        await watch.facts(NOW + timedelta(seconds=seconds))

    assert len(receiver.requests) == 2


async def test_one_that_hangs_keeps_no_other(receiver, monkeypatch):
    monkeypatch.setattr("services.tracker.alerts.workers.watching._TIMEOUT_SECONDS", 1.5)
    ill = await FakeServer(always=HANG).start()
    receiver.always = says(lag(3))
    watch = PipelineWatch([ill.url, receiver.url], "k")
    await watch.facts(NOW)
    found = await watch.facts(NOW + 4 * HALF_A_MINUTE)
    await ill.stop()

    assert [fact.value for fact in found if fact.kind == "consumer_lag"] == [3]


async def test_what_two_processes_count_is_added_and_of_what_they_see_the_worst_counts(receiver):
    other = await FakeServer(illnesses=[says(lag(5), dead(0)), says(lag(5), dead(2))]).start()
    receiver.illnesses = [says(lag(9), dead(0)), says(lag(3), dead(1))]
    watch = PipelineWatch([receiver.url, other.url], "k")
    await watch.facts(NOW)
    found = {fact.kind: fact.value for fact in await watch.facts(NOW + HALF_A_MINUTE)}
    await other.stop()

    assert found == {"consumer_lag": 5, "dead_letters": 3, "silent_process": 0}


async def test_dead_letters_stand_for_an_hour_after_the_last_from_the_first_on(receiver):
    watch = PipelineWatch([receiver.url], "k")
    rule = Pipeline(kind="dead_letters")
    standing = []
    for n, answer in enumerate((says(), says(dead(1)), *([says(dead(3))] * 7))):
        receiver.always = answer
        at = NOW + n * timedelta(minutes=10)
        standing.append(
            [fact.value for fact in await watch.facts(at) if stands(rule, fact, at=at, stood=False)]
        )

    anew = PipelineWatch([receiver.url], "k")
    (fact, _) = await anew.facts(NOW)
    assert fact.value == 0
    assert stands(rule, fact, at=NOW, stood=True)  # a restart of the evaluator resolves nothing
    assert not stands(rule, fact, at=NOW, stood=False)
    assert standing == [[], [1], [3], [3], [3], [3], [3], [2], []]


async def test_a_figure_stands_when_it_was_above_for_so_long(receiver):
    watch = PipelineWatch([receiver.url], "k")
    rule = Pipeline(kind="consumer_lag", above=10, for_seconds=60)
    standing = []
    for n, value in enumerate((20, 20, 20, 5, 20)):
        receiver.always = says(lag(value))
        at = NOW + n * HALF_A_MINUTE
        standing += [stands(rule, fact, at=at, stood=False) for fact in await lags(watch, at)]

    assert standing == [False, False, True, False, False]


async def test_while_all_of_it_starts_nothing_is_known(receiver):
    late = FakeServer()
    late.port = 9  # nobody listens there
    watch = PipelineWatch([receiver.url, late.url], "k")
    receiver.always = says(lag(3))

    assert await watch.facts(NOW) is None
    assert await watch.facts(NOW + HALF_A_MINUTE) is None
    assert [fact.value for fact in await lags(watch, NOW + 4 * HALF_A_MINUTE)] == [3]
