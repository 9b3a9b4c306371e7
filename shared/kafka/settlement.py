"""The settlement loop of a producer: receipts come back and stamp the rows that they name."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.events_receipted import EventsReceipted
from shared.kafka.consumer import consume
from shared.kafka.outbox import OutboxTable, settle
from shared.kafka.producer import Producer
from shared.kafka.received import Received

if TYPE_CHECKING:
    from shared.http.probes import Health


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
    Settle and park the rows of `table` as the receipts for `producer_name` tell, until `stop` is set.

    A group of its own, since a service's other consumer reads other topics: members of one group that read
    different topics are more than the embedded broker understands.
    """

    async def handle(batch: Sequence[Received]) -> None:
        receipts = [one.event for one in batch if isinstance(one.event, EventsReceipted)]
        await settle(engine, table, *(event for event in receipts if event.producer == producer_name))

    await consume(
        bootstrap_servers,
        group=f"{producer_name}-settlement",
        topics=[EventsReceipted.topic],
        handle=handle,
        producer=producer,
        stop=stop,
        health=health,
    )
