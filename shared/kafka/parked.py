"""Routes of every producer: what is parked, send it again, and send what the reconciliation misses."""

from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.http.auth import require
from shared.kafka.laid_aside import list_laid_aside, send_laid_aside
from shared.kafka.outbox import MessageId, OutboxTable
from shared.kafka.stamps import make_due
from shared.postgres import transaction
from shared.security.principals import Principal

_MOST_ITEMS = 10_000
_REVISION_MAX = 2**31 - 1  # what the column holds
_MOST_IDS = 100  # they stand in a URL


class Item(BaseModel):
    """The identity of one message."""

    model_config = ConfigDict(extra="forbid")

    organization_id: UUID
    message_id: UUID
    revision: int = Field(ge=1, le=_REVISION_MAX)


class ParkedMessage(Item):
    """
    A message that lies in a dead-letter topic, or that no broker takes. `reason` is the class of an error.

    Of what no broker takes and nobody receipts, `parked_at` is when it was written.
    """

    type: str
    reason: str
    parked_at: AwareDatetime


class ParkedPage(BaseModel):
    data: list[ParkedMessage]
    has_more: bool


class Replay(BaseModel):
    """Exactly one of the two: `items`, or `all`."""

    model_config = ConfigDict(extra="forbid")

    items: list[Item] = Field(default_factory=list, max_length=_MOST_ITEMS)
    all: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.all == bool(self.items):
            raise ValueError("Name items, or say all, and not both.")
        return self


class Repair(BaseModel):
    model_config = ConfigDict(extra="forbid")

    items: list[Item] = Field(max_length=_MOST_ITEMS)


class MadeDue(BaseModel):
    made_due: int


_Reader = Annotated[Principal, require("operator", "supervisor", "admin", "auditor")]
_Sender = Annotated[Principal, require("operator", "supervisor", "admin")]


def parked_router(
    table: OutboxTable, engine: AsyncEngine, *, unreceipted: OutboxTable | None = None
) -> APIRouter:
    """
    Make the routes for one outbox table, and the one without receipts where the service has one too.

    The operator works for every organization, anybody else for their own: items of others are passed over,
    and the answer's number tells.
    """
    router = APIRouter(tags=["operations"])
    select_parked = text(
        "select m.organization_id, m.message_id, m.revision, p.types[m.place] as type,"
        " m.parked_reason as reason, m.parked_at"
        f" from {table.name} m join {table.parcels} p using (organization_id, parcel_id)"
        " where m.parked_at is not null and m.settled_at is null"
        " and (cast(:ids as uuid[]) is null or m.message_id = any(cast(:ids as uuid[])))"
        " order by m.parked_at, m.message_id limit :rows"
    )

    @router.get("/v1/parked", operation_id="list_parked")
    async def list_parked(
        principal: _Reader,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
        message_id: Annotated[
            list[UUID] | None, Query(max_length=_MOST_IDS, description="These only; may be repeated.")
        ] = None,
    ) -> ParkedPage:
        """List what is parked, the oldest first."""
        asked = {"rows": limit + 1, "ids": message_id}
        async with transaction(engine, organizations=await _scope(engine, principal)) as connection:
            found = [dict(row) for row in (await connection.execute(select_parked, asked)).mappings()]
            if unreceipted:
                found += await list_laid_aside(connection, unreceipted, ids=message_id, limit=limit + 1)
        found.sort(key=lambda row: (row["parked_at"], row["message_id"]))
        return ParkedPage(data=[ParkedMessage(**row) for row in found[:limit]], has_more=len(found) > limit)

    @router.post("/v1/parked/replay", operation_id="replay_parked")
    async def replay_parked(principal: _Sender, wanted: Replay) -> MadeDue:
        """Send parked messages again."""
        async with transaction(engine, organizations=await _scope(engine, principal)) as connection:
            parked = await _parked(connection, table)
            ids = parked if wanted.all else parked & {_id(item) for item in wanted.items}
            made_due = await make_due(connection, table, ids)
            if unreceipted:
                asked = None if wanted.all else {item.message_id for item in wanted.items}
                made_due += await send_laid_aside(connection, unreceipted, ids=asked)
            return MadeDue(made_due=made_due)

    @router.post("/v1/reconciliation/repair", operation_id="repair")
    async def repair(principal: _Sender, wanted: Repair) -> MadeDue:
        """Send messages again that a reconciliation misses at their receiver."""
        async with transaction(engine, organizations=await _scope(engine, principal)) as connection:
            return MadeDue(made_due=await make_due(connection, table, map(_id, wanted.items)))

    return router


async def _scope(engine: AsyncEngine, principal: Principal) -> list[UUID]:
    if principal.organization_id is not None:
        return [principal.organization_id]
    async with transaction(engine) as connection:
        found = await connection.execute(
            text("select organization_id from access.organizations_of_installation()")
        )
        return list(found.scalars())


async def _parked(connection: AsyncConnection, table: OutboxTable) -> frozenset[MessageId]:
    found = await connection.execute(
        text(
            f"select organization_id, message_id, revision from {table.name}"
            " where parked_at is not null and settled_at is null"
        )
    )
    return frozenset(MessageId(*row) for row in found)


def _id(item: Item) -> MessageId:
    return MessageId(item.organization_id, item.message_id, item.revision)
