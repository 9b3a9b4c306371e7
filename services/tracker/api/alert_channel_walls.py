"""What all routes of alert channels share: who may call them, behind which wall, and how a write answers."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response, status
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.store.channels import Channel
from services.tracker.api.alerts import behind_wall
from services.tracker.api.steps import ANSWERS
from services.tracker.api.views import View
from services.tracker.store.audit import Action, audit
from shared.errors import ConflictError
from shared.http.idempotency import Answer, answer_once
from shared.security.principals import Principal

ChannelId = Annotated[UUID, Path(description="A channel.")]

ROUTE = "/v1/alerts/channels"
ONE = f"{ROUTE}/{{channel_id}}"

Work = Callable[[AsyncConnection, Principal], Awaitable[Answer]]


async def once(
    engine: AsyncEngine, request: Request, principal: Principal, key: str | None, work: Work
) -> Response:
    """Do a write behind the caller's wall, once under a key."""
    walled = behind_wall(principal)

    async def behind(connection: AsyncConnection) -> Answer:
        return await work(connection, walled)

    return await answer_once(engine, request, walled, behind, table=ANSWERS, key=key)


def check_active(channel: Channel) -> None:
    if channel.state != "active":
        raise ConflictError(
            "This channel is disabled.",
            remedy="Mend its destination, then enable it; `disabled_reason` says why.",
        )


def answer_of(view: View, code: int = status.HTTP_200_OK) -> Answer:
    return Answer(code, view.model_dump_json().encode())


async def audit_channel(
    connection: AsyncConnection, walled: Principal, action: Action, channel_id: UUID, **detail: object
) -> None:
    """Write who changed which channel; never to what, since settings may name a person's address."""
    await audit(connection, walled, action, case_id=None, detail={"channel_id": str(channel_id), **detail})
