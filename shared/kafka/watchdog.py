"""
Finds a consumer that is stuck: there is work, and nothing comes.

The client has several ways to fall silent after a broker's restart, without an error: above all when the
broker comes back empty, it may go on asking for offsets that do not exist yet. A new membership cures all.
"""

import time

import structlog
from aiokafka import AIOKafkaConsumer

from shared.kafka.backoff import answer_within
from shared.kafka.producer import Producer
from shared.observability import metrics

STUCK_SECONDS = 60.0
UNASSIGNED_SECONDS = 300.0
"""Members beyond the number of partitions rightly have none."""

_LOOK_SECONDS = 5.0
_ANSWER_SECONDS = 10.0

log = structlog.get_logger()


class StuckError(Exception):
    """There is work, and nothing comes: only joining again helps."""


class Watchdog:
    """Asks the broker itself who it is and where the partitions end: what a stuck client remembers is old."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        *,
        group: str,
        producer: Producer,
        cluster_id: str,
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        self._consumer = consumer
        self._group = group
        self._producer = producer
        self._cluster_id = cluster_id
        self._stuck_seconds = stuck_seconds
        self._progress_at = self._look_at = time.monotonic()

    async def look(self, *, progress: bool) -> None:
        """Call after every poll; raises StuckError, or the client's error when the broker does not answer."""
        at = time.monotonic()
        if progress:
            self._progress_at = at
        if at < self._look_at:
            return
        self._look_at = at + _LOOK_SECONDS
        if await self._producer.cluster_id() != self._cluster_id:
            log.error("broker_replaced", group=self._group)
            raise StuckError
        partitions = self._consumer.assignment()
        if not partitions:
            if at - self._progress_at > UNASSIGNED_SECONDS:
                raise StuckError
            return
        lag = await answer_within(_ANSWER_SECONDS, self._lag(partitions))
        if lag == 0:
            self._progress_at = at
        elif at - self._progress_at > self._stuck_seconds:
            log.error("consumer_stuck", group=self._group, lag=lag)
            raise StuckError

    async def _lag(self, partitions: "frozenset[object]") -> int:
        ends = await self._consumer.end_offsets(partitions)
        lags: dict[str, int] = {}
        for partition, end in ends.items():
            behind = end - await self._consumer.position(partition)
            if behind < 0:
                log.error("offsets_went_back", group=self._group, topic=partition.topic, missing=behind)
                raise StuckError
            lags[partition.topic] = lags.get(partition.topic, 0) + behind
        for topic, lag in lags.items():
            metrics.CONSUMER_LAG.labels(self._group, topic).set(lag)
        return sum(lags.values())
