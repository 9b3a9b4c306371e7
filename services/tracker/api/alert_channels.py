"""/v1/alerts/channels: where an organization is told things, and how that goes."""

from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response, status
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.channels.kind import Kind
from services.tracker.alerts.domain.notification import Secret
from services.tracker.alerts.network import Network
from services.tracker.alerts.store import channels, notifications
from services.tracker.alerts.store.channels import Channel
from services.tracker.alerts.store.disabling import tell_enabled
from services.tracker.api import alert_channel_views as views
from services.tracker.api.alert_channel_checks import checked_secret, checked_settings, kind_of
from services.tracker.api.alert_channel_walls import (
    ONE,
    ROUTE,
    ChannelId,
    answer_of,
    audit_channel,
    once,
)
from services.tracker.api.alerts import AlertEditor, AlertReader, behind_wall, wall_of
from shared.errors import ConflictError
from shared.http.auth import scope_of
from shared.http.idempotency import Answer, IdempotencyKey
from shared.postgres import transaction
from shared.security.principals import Principal
from shared.security.sealing import MasterKey


def alert_channels_router(  # noqa: C901, PLR0915  a closure for each route
    engine: AsyncEngine, master_key: MasterKey, network: Network
) -> APIRouter:
    """Make the routes. `master_key` seals the secrets of channels, `network` judges where they lead."""
    router = APIRouter(tags=["alert channels"])

    async def shown(connection: AsyncConnection, channel_id: UUID) -> views.ChannelView:
        return view(await channels.get_channel(connection, channel_id))

    def view(channel: Channel) -> views.ChannelView:
        secret = channel.secret(master_key)
        return views.channel_view(channel, has_previous_secret=bool(secret and secret.previous))

    async def kind_behind(principal: Principal, channel_id: UUID) -> Kind:
        """
        Give the kind of a channel, which never changes.

        Where a channel leads is judged before its row is held: a name's servers may take their time.
        """
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            return kind_of((await channels.get_channel(connection, channel_id)).kind)

    async def with_secret(answer: Response, principal: Principal, *, made: bool) -> Response:
        """
        Show a secret to who had it made.

        It is opened anew: answers that are kept under a key lie in the database as they are.
        """
        channel = views.ChannelWithSecret.model_validate_json(bytes(answer.body))
        if made:
            async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
                kept = await channels.get_channel(connection, channel.channel_id)
            secret = kept.secret(master_key)
            channel.secret = secret.current if secret else None
        return Response(
            channel.model_dump_json(),
            answer.status_code,
            headers={name: one for name, one in answer.headers.items() if name == "idempotency-replayed"},
            media_type="application/json",
        )

    @router.get(ROUTE, operation_id="list_alert_channels")
    async def list_alert_channels(principal: AlertReader) -> views.ChannelList:
        """List the channels, by name."""
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            found = await channels.list_channels(connection)
        return views.ChannelList(data=[view(one) for one in found])

    @router.post(
        ROUTE,
        operation_id="create_alert_channel",
        status_code=status.HTTP_201_CREATED,
        response_model=views.ChannelWithSecret,
    )
    async def create_alert_channel(
        request: Request,
        principal: AlertEditor,
        new: views.NewChannel,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Open a channel. A signing secret that was made is shown this once."""
        kind = kind_of(new.kind)
        settings = await checked_settings(kind, new.settings, network)
        secret = await checked_secret(kind, new.secret, network)

        async def work(connection: AsyncConnection, walled: Principal) -> Answer:
            if len(await channels.list_channels(connection)) >= channels.CHANNELS_MAX:
                raise ConflictError(
                    f"There are {channels.CHANNELS_MAX} channels already.",
                    remedy="Change one that nobody needs.",
                )
            place = {"organization_id": wall_of(walled), "channel_id": uuid4()}
            added = await channels.add_channel(
                connection,
                **place,
                name=new.name,
                kind=new.kind,
                settings=settings,
                sealed_secret=None
                if secret is None
                else channels.seal_secret(master_key, Secret(current=secret), **place),
                rate_per_minute=new.rate_per_minute,
            )
            if not added:
                raise channels.name_taken()
            await audit_channel(connection, walled, "channel_created", place["channel_id"], kind=new.kind)
            return answer_of(await shown(connection, place["channel_id"]), status.HTTP_201_CREATED)

        answer = await once(engine, request, principal, idempotency_key, work)
        return await with_secret(answer, principal, made=new.secret is None and secret is not None)

    @router.get(ONE, operation_id="get_alert_channel")
    async def get_alert_channel(principal: AlertReader, channel_id: ChannelId) -> views.ChannelView:
        """Give one channel, and how it goes."""
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            return await shown(connection, channel_id)

    @router.patch(ONE, operation_id="change_alert_channel", response_model=views.ChannelView)
    async def change_alert_channel(
        request: Request,
        principal: AlertEditor,
        channel_id: ChannelId,
        changes: views.ChannelChanges,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Change what the body names and leave the rest."""
        named = changes.model_dump(exclude_unset=True)
        settings = None
        if changes.settings is not None:
            kind = await kind_behind(principal, channel_id)
            settings = await checked_settings(kind, changes.settings, network)

        async def work(connection: AsyncConnection, walled: Principal) -> Answer:
            channel = await channels.get_channel(connection, channel_id, hold=True)
            await channels.change_channel(
                connection,
                channel_id,
                name=changes.name or channel.name,
                settings=channel.settings if settings is None else settings,
                rate_per_minute=named.get("rate_per_minute", channel.rate_per_minute),
            )
            await audit_channel(connection, walled, "channel_changed", channel_id, fields=sorted(named))
            return answer_of(await shown(connection, channel_id))

        return await once(engine, request, principal, idempotency_key, work)

    @router.post(
        f"{ONE}/secret", operation_id="rotate_alert_channel_secret", response_model=views.ChannelWithSecret
    )
    async def rotate_alert_channel_secret(
        request: Request,
        principal: AlertEditor,
        channel_id: ChannelId,
        new: views.NewSecret,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Replace the secret; the one before goes on beside it until the next rotation."""
        kind = await kind_behind(principal, channel_id)
        secret = await checked_secret(kind, new.secret, network)
        if secret is None:
            raise ConflictError("This channel has no secret.", remedy="Send one in `secret`.")

        async def work(connection: AsyncConnection, walled: Principal) -> Answer:
            channel = await channels.get_channel(connection, channel_id, hold=True)
            old = channel.secret(master_key)
            kept = Secret(current=secret, previous=old.current if old and new.keep_previous else None)
            sealed = channels.seal_secret(
                master_key, kept, organization_id=channel.organization_id, channel_id=channel_id
            )
            await channels.set_sealed_secret(connection, channel_id, sealed)
            await audit_channel(connection, walled, "channel_secret_rotated", channel_id)
            return answer_of(await shown(connection, channel_id))

        answer = await once(engine, request, principal, idempotency_key, work)
        return await with_secret(answer, principal, made=new.secret is None)

    @router.post(f"{ONE}/disable", operation_id="disable_alert_channel", response_model=views.ChannelView)
    async def disable_alert_channel(
        request: Request,
        principal: AlertEditor,
        channel_id: ChannelId,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Switch a channel off. What waits for it is rejected, and can be sent again by hand."""

        async def work(connection: AsyncConnection, walled: Principal) -> Answer:
            channel = await channels.get_channel(connection, channel_id, hold=True)
            if channel.state == "active":
                await channels.disable_channel(connection, channel_id, reason="switched_off")
                await notifications.drop_waiting(connection, channel_id, reason="channel_disabled")
                await audit_channel(connection, walled, "channel_disabled", channel_id)
            return answer_of(await shown(connection, channel_id))

        return await once(engine, request, principal, idempotency_key, work)

    @router.post(f"{ONE}/enable", operation_id="enable_alert_channel", response_model=views.ChannelView)
    async def enable_alert_channel(
        request: Request,
        principal: AlertEditor,
        channel_id: ChannelId,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Switch a channel on, or end the pause of one that failed: its failures are forgotten."""

        async def work(connection: AsyncConnection, walled: Principal) -> Answer:
            channel = await channels.get_channel(connection, channel_id, hold=True)
            await channels.enable_channel(connection, channel_id)
            await notifications.hasten(connection, channel_id)
            if channel.state == "disabled":
                await tell_enabled(connection, channel)
            await audit_channel(connection, walled, "channel_enabled", channel_id)
            return answer_of(await shown(connection, channel_id))

        return await once(engine, request, principal, idempotency_key, work)

    return router
