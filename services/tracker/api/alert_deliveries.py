"""What was told over a channel: lists, attempts, a sample, and having something told again."""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Path, Query, Request, Response, status
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.domain.content import Content
from services.tracker.alerts.store import channels, notifications
from services.tracker.alerts.store.disabling import RUNBOOK
from services.tracker.api import alert_channel_views as views
from services.tracker.api.alert_channel_walls import (
    ONE,
    ChannelId,
    answer_of,
    audit_channel,
    check_active,
    once,
)
from services.tracker.api.alerts import AlertEditor, AlertReader, behind_wall
from shared.errors import NotFoundError
from shared.http.auth import scope_of
from shared.http.cursors import decode_cursor, encode_cursor
from shared.http.idempotency import Answer, IdempotencyKey
from shared.postgres import transaction
from shared.security.principals import Principal

_NotificationId = Annotated[UUID, Path(description="A notification of the channel.")]
_Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
_Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]

_NOTIFICATION = f"{ONE}/notifications/{{notification_id}}"


def alert_deliveries_router(engine: AsyncEngine, cursor_key: bytes) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["alert channels"])

    @router.post(
        f"{ONE}/test",
        operation_id="test_alert_channel",
        status_code=status.HTTP_202_ACCEPTED,
        response_model=views.NotificationDetail,
    )
    async def test_alert_channel(
        request: Request,
        principal: AlertEditor,
        channel_id: ChannelId,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Send a harmless sample, that pages nobody; its attempts tell how it went."""

        async def work(connection: AsyncConnection, walled: Principal) -> Answer:
            channel = await channels.get_channel(connection, channel_id)
            check_active(channel)
            notification_id = uuid4()
            key = f"{channel.organization_id.hex[:8]}:test:{notification_id}"
            await notifications.add_notification(
                connection,
                organization_id=channel.organization_id,
                notification_id=notification_id,
                channel_id=channel_id,
                group_key=key,
                dedup_key=key,
                kind="test",
                severity="info",
                content=Content(
                    title=f"A message of Reprieve over the channel “{channel.name}”",
                    rule="test",
                    runbook=RUNBOOK,
                ),
            )
            await audit_channel(connection, walled, "channel_tested", channel_id)
            return answer_of(await detail(connection, channel_id, notification_id), status.HTTP_202_ACCEPTED)

        return await once(engine, request, principal, idempotency_key, work)

    async def detail(
        connection: AsyncConnection, channel_id: UUID, notification_id: UUID
    ) -> views.NotificationDetail:
        found = await notifications.get_notification(connection, notification_id)
        if UUID(str(found["channel_id"])) != channel_id:
            raise NotFoundError(
                "There is no such notification of this channel.",
                remedy=f"`GET {ONE}/notifications` lists them.",
            )
        return views.NotificationDetail.model_validate(found)

    @router.get(f"{ONE}/notifications", operation_id="list_channel_notifications")
    async def list_channel_notifications(
        principal: AlertReader, channel_id: ChannelId, limit: _Limit = 50, cursor: _Cursor = None
    ) -> views.NotificationPage:
        """List what was told over a channel, or waits for it, the newest first."""
        before = decode_cursor(cursor, UUID, key=cursor_key) if cursor else None
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            await channels.get_channel(connection, channel_id)
            found = await notifications.list_notifications(
                connection, channel_id, before=before, limit=limit + 1
            )
        more = len(found) > limit
        # A cursor can be read, and positions, common to all organizations, tell how much others hear.
        last = UUID(str(found[limit - 1]["notification_id"])) if more else None
        return views.NotificationPage(
            data=[views.NotificationView.model_validate(one) for one in found[:limit]],
            has_more=more,
            next_cursor=encode_cursor(last, key=cursor_key) if last else None,
        )

    @router.get(_NOTIFICATION, operation_id="get_channel_notification")
    async def get_channel_notification(
        principal: AlertReader, channel_id: ChannelId, notification_id: _NotificationId
    ) -> views.NotificationDetail:
        """Give one notification with every attempt to deliver it."""
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            return await detail(connection, channel_id, notification_id)

    @router.post(
        f"{_NOTIFICATION}/resend",
        operation_id="resend_notification",
        status_code=status.HTTP_202_ACCEPTED,
        response_model=views.NotificationDetail,
    )
    async def resend_notification(
        request: Request,
        principal: AlertEditor,
        channel_id: ChannelId,
        notification_id: _NotificationId,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """
        Send a notification again, under its old key: a receiver that has it already drops it.

        409 where its group was told something later: only the last word of a group may be repeated.
        """

        async def work(connection: AsyncConnection, walled: Principal) -> Answer:
            check_active(await channels.get_channel(connection, channel_id))
            await detail(connection, channel_id, notification_id)
            await notifications.resend(connection, notification_id)
            await audit_channel(
                connection, walled, "notification_resent", channel_id, notification_id=str(notification_id)
            )
            return answer_of(await detail(connection, channel_id, notification_id), status.HTTP_202_ACCEPTED)

        return await once(engine, request, principal, idempotency_key, work)

    @router.get(f"{ONE}/attempts", operation_id="list_channel_attempts")
    async def list_channel_attempts(
        principal: AlertReader, channel_id: ChannelId, limit: _Limit = 50
    ) -> views.AttemptList:
        """List the last attempts to deliver something over a channel, the newest first."""
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            await channels.get_channel(connection, channel_id)
            found = await notifications.attempts_of(connection, channel_id, limit=limit)
        return views.AttemptList(data=[views.AttemptView.model_validate(one) for one in found])

    return router
