"""Asks the other processes for their metrics, over HTTP with an operator's key, and remembers an hour."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import httpx2
import structlog
from prometheus_client.parser import text_string_to_metric_families

from services.tracker.alerts.domain.pipeline import (
    MEANINGS,
    UNANSWERED,
    Fact,
    Sample,
    Snapshot,
    facts_in,
    subject_of,
    together,
)

_HOUR = timedelta(hours=1)
_ASKED_EVERY = timedelta(seconds=30)
_STARTING = timedelta(minutes=2)
_TIMEOUT_SECONDS = 5.0
_BYTES_MAX = 8 * 1024 * 1024

_NAMES = tuple(MEANINGS)

log = structlog.get_logger()


class PipelineWatch:
    """What the metrics at some addresses say. `urls` are those of processes, without /metrics."""

    def __init__(self, urls: Sequence[str], key: str | None) -> None:
        self._urls = tuple(urls)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._last: dict[str, list[Sample]] = {}
        self._hour: deque[Snapshot] = deque()
        self._began_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._found: list[Fact] = []

    async def facts(self, at: datetime) -> list[Fact] | None:
        """
        Give what stands now; between two questions half a minute passes.

        None while all of it starts together, and one of the processes was not heard of yet.

        Who does not answer has not recovered: what it said last counts, and its silence is a fact too. All
        are asked at once, so that nobody who hangs keeps the others, and the rules about cases, waiting for
        longer than one answer may take.
        """
        if self._asked_at is None or at - self._asked_at >= _ASKED_EVERY:
            self._asked_at = at
            self._began_at = self._began_at or at
            self._found = await self._ask_all(at)
        starting = self._began_at is not None and at - self._began_at < _STARTING
        return None if starting and self._last.keys() != {*self._urls} else self._found

    async def _ask_all(self, at: datetime) -> list[Fact]:
        async with httpx2.AsyncClient(headers=self._headers, timeout=_TIMEOUT_SECONDS) as client:
            answers = await asyncio.gather(*(self._ask(client, url) for url in self._urls))
        self._last |= {
            url: answer for url, answer in zip(self._urls, answers, strict=True) if answer is not None
        }
        silent = [
            Sample(UNANSWERED, (("process", httpx2.URL(url).netloc.decode()),), float(answer is None))
            for url, answer in zip(self._urls, answers, strict=True)
        ]
        samples = together(sample for said in (*self._last.values(), silent) for sample in said)
        while self._hour and at - self._hour[0][0] > _HOUR:
            self._hour.popleft()
        found = facts_in(samples, self._hour, at=at)
        self._hour.append((at, {(one.name, subject_of(one)): one.value for one in samples}))
        return found

    async def _ask(self, client: httpx2.AsyncClient, url: str) -> list[Sample] | None:
        try:
            answer = await client.get(f"{url.rstrip('/')}/metrics")
        except httpx2.HTTPError as error:
            log.warning("metrics_unanswered", url_host=httpx2.URL(url).host, error_class=type(error).__name__)
            return None
        if not answer.is_success or len(answer.content) > _BYTES_MAX:
            log.warning("metrics_unanswered", url_host=httpx2.URL(url).host, status=answer.status_code)
            return None
        try:
            return list(read_samples(answer.text))
        except ValueError:
            log.warning("metrics_unreadable", url_host=httpx2.URL(url).host)
            return None


def read_samples(exposition: str) -> Iterator[Sample]:
    """Read the samples that mean something here from a text in the format of Prometheus."""
    # The parser takes its time; most lines are about something else.
    wanted = "".join(f"{line}\n" for line in exposition.splitlines() if line.startswith(_NAMES))
    for family in text_string_to_metric_families(wanted):
        for sample in family.samples:
            if sample.name in MEANINGS:
                yield Sample(sample.name, tuple(sorted(sample.labels.items())), sample.value)
