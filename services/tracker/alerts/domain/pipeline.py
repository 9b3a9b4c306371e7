"""
What the metrics of the installation's processes say about the pipeline.

The tracker reads no other service's tables: it asks their /metrics with the operator's key, as a monitoring
system would. Labels there name feeds, tables, groups and topics, never an organization or a person.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from services.tracker.alerts.domain.rules import Pipeline


class Sample(NamedTuple):
    """One value of a metric."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class Fact:
    """
    A figure about a thing: `subject` names it, `label` says it in words of our own with the value.

    `past` are the values of the last hour, the oldest first. `known` is false while a growing figure has been
    watched for less than that: what it was before a restart of the evaluator nobody knows.
    """

    kind: str
    subject: str
    label: str
    value: float
    past: tuple[tuple[datetime, float], ...] = ()
    known: bool = True


_NEARLY_AN_HOUR = timedelta(minutes=59)


class _Meaning(NamedTuple):
    kind: str
    one: str
    many: str
    growing: bool = False


UNANSWERED = "reprieve_metrics_unanswered"
"""Our own figure, by `process`: 1 while its metrics cannot be had, for whatever reason, and 0 otherwise."""

MEANINGS: Mapping[str, _Meaning] = {
    UNANSWERED: _Meaning("silent_process", "{process} does not answer", "{process} answers"),
    "reprieve_feed_silent": _Meaning("silent_feed", "feed {feed} is silent", "feed {feed} is silent"),
    "reprieve_quarantined_claims": _Meaning(
        "quarantined_claims", "1 claim waits in quarantine", "{value:,.0f} claims wait in quarantine"
    ),
    "reprieve_records_dead_total": _Meaning(
        "dead_letters",
        "1 message of {topic} laid aside by {group} within the hour",
        "{value:,.0f} messages of {topic} laid aside by {group} within the hour",
        growing=True,
    ),
    "reprieve_outbox_oldest_seconds": _Meaning(
        "unsettled_events",
        "{table}: the oldest event is unsettled for a moment",
        "{table}: the oldest event is unsettled for {minutes:,.0f} minutes",
    ),
    "reprieve_consumer_lag": _Meaning(
        "consumer_lag",
        "{group} is 1 record behind on {topic}",
        "{group} is {value:,.0f} records behind on {topic}",
    ),
}
"""By metric: the kind of rule that looks at it, and what to say. `growing` compares with an hour ago."""


Snapshot = tuple[datetime, Mapping[tuple[str, str], float]]
"""When it was, and the values by metric and subject."""


def together(samples: Iterable[Sample]) -> list[Sample]:
    """Make one of what several processes say of a thing: the sum of what they count, else the worst."""
    said: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        said.setdefault((sample.name, subject_of(sample)), []).append(sample)
    return [
        same[0]._replace(value=(sum if MEANINGS[name].growing else max)(one.value for one in same))
        for (name, _), same in said.items()
    ]


def facts_in(samples: Iterable[Sample], hour: Sequence[Snapshot], *, at: datetime) -> list[Fact]:
    """Give what the samples say. `hour` are those of the last hour, the oldest first."""
    watched = bool(hour) and at - hour[0][0] > _NEARLY_AN_HOUR
    facts = []
    for sample in samples:
        meaning = MEANINGS.get(sample.name)
        if meaning is None:
            continue
        subject = subject_of(sample)
        past = tuple((at, seen[key]) for at, seen in hour if (key := (sample.name, subject)) in seen)
        value = sample.value
        if meaning.growing:
            # Whose first value came within the hour began at nothing; of a first look nothing is known.
            earlier = hour[0][1].get((sample.name, subject), 0) if hour else value
            value = value - earlier if value >= earlier else value  # a counter that began anew
        said = meaning.one if value == 1 else meaning.many
        label = said.format(value=value, minutes=value / 60, **_known(dict(sample.labels)))
        facts.append(Fact(meaning.kind, subject, label, value, past, known=watched or not meaning.growing))
    return facts


def subject_of(sample: Sample) -> str:
    """Name what a sample is about."""
    return ",".join(f"{name}={value}" for name, value in sorted(sample.labels)) or sample.name


def _known(words: Mapping[str, str]) -> dict[str, str]:
    return {name: words.get(name, "") for name in ("feed", "topic", "table", "group", "process")}


def stands(settings: Pipeline, fact: Fact, *, at: datetime, stood: bool) -> bool:
    """
    Tell whether a figure is above what a rule allows, for as long as it says.

    One that `stood` at the last look needs no new proof: a restart of the evaluator forgets the hour.
    """
    if fact.kind != settings.kind:
        return False
    if stood and not fact.known:
        return True
    if fact.value <= settings.above:
        return False
    since = at - timedelta(seconds=settings.for_seconds)
    if stood or not settings.for_seconds:
        return True
    return (
        bool(fact.past)
        and fact.past[0][0] <= since
        and all(value > settings.above for seen_at, value in fact.past if seen_at >= since)
    )
