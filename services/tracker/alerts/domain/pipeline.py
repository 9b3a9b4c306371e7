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

    `past` are the values of the last hour, the oldest first.
    """

    kind: str
    subject: str
    label: str
    value: float
    past: tuple[tuple[datetime, float], ...] = ()


class _Meaning(NamedTuple):
    kind: str
    label: str
    growing: bool = False


MEANINGS: Mapping[str, _Meaning] = {
    "reprieve_feed_silent": _Meaning("silent_feed", "feed {feed}"),
    "reprieve_quarantined_claims": _Meaning("quarantined_claims", "{value:.0f} claims wait in quarantine"),
    "reprieve_records_dead_total": _Meaning(
        "dead_letters", "{value:.0f} messages of {topic} laid aside within the hour", growing=True
    ),
    "reprieve_outbox_oldest_seconds": _Meaning(
        "unsettled_events", "{table}: the oldest event is unsettled for {minutes:.0f} minutes"
    ),
    "reprieve_consumer_lag": _Meaning("consumer_lag", "{group} is {value:.0f} records behind on {topic}"),
}
"""By metric: the kind of rule that looks at it, and what to say. `growing` compares with an hour ago."""


Snapshot = tuple[datetime, Mapping[tuple[str, str], float]]
"""When it was, and the values by metric and subject."""


def facts_in(samples: Iterable[Sample], hour: Sequence[Snapshot]) -> list[Fact]:
    """Give what the samples say. `hour` are those of the last hour, the oldest first."""
    facts = []
    for sample in samples:
        meaning = MEANINGS.get(sample.name)
        if meaning is None:
            continue
        subject = subject_of(sample)
        past = tuple((at, seen[key]) for at, seen in hour if (key := (sample.name, subject)) in seen)
        value = sample.value
        if meaning.growing:
            earlier = past[0][1] if past else value
            value = value - earlier if value >= earlier else value  # a counter that began anew
        said = meaning.label.format(value=value, minutes=value / 60, **_known(dict(sample.labels)))
        facts.append(Fact(meaning.kind, subject, said, value, past))
    return facts


def subject_of(sample: Sample) -> str:
    """Name what a sample is about."""
    return ",".join(f"{name}={value}" for name, value in sorted(sample.labels)) or sample.name


def _known(words: Mapping[str, str]) -> dict[str, str]:
    return {name: words.get(name, "") for name in ("feed", "topic", "table", "group")}


def stands(settings: Pipeline, fact: Fact, *, at: datetime, stood: bool) -> bool:
    """
    Tell whether a figure is above what a rule allows, for as long as it says.

    One that `stood` at the last look needs no new proof: a restart of the evaluator forgets the hour.
    """
    if fact.kind != settings.kind or fact.value <= settings.above:
        return False
    since = at - timedelta(seconds=settings.for_seconds)
    if stood or not settings.for_seconds:
        return True
    return (
        bool(fact.past)
        and fact.past[0][0] <= since
        and all(value > settings.above for seen_at, value in fact.past if seen_at >= since)
    )
