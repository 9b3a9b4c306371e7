"""The settlement loop of a producer: receipts come back and stamp the messages that they name."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.events_receipted import EventsReceipted
from shared.kafka.consumer import consume
from shared.kafka.outbox import OutboxTable
from shared.kafka.producer import Producer
from shared.kafka.received import Received
from shared.kafka.stamps import settle

if TYPE_CHECKING:
    from shared.http.probes import Health

_BATCH_RECORDS = 250  # each of which names many messages


async def settlement_consumer(
    bootstrap_servers: str,
    *,
    producer_name: str,
    engine: AsyncEngine,
    table: OutboxTable,
    producer: Producer,
    stop: asyncio.Event,
    health: "Health | None" = None,
) -> None:
    """
    Settle and park the messages of `table` as the receipts for `producer_name` tell, until `stop` is set.

    A group of its own, since a service's other consumer reads other topics: members of one group that read
    different topics are more than the embedded broker understands.
    """

    async def handle(batch: Sequence[Received]) -> None:
        await settle(engine, table, *(one.event for one in batch if isinstance(one.event, EventsReceipted)))

    await consume(
        bootstrap_servers,
        group=f"{producer_name}-settlement",
        topics=[EventsReceipted.topic],
        handle=handle,
        max_records=_BATCH_RECORDS,
        producer=producer,
        stop=stop,
        health=health,
    )
