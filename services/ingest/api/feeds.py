"""Feeds over HTTP: a submitter opens, edits and watches its own; the operator sees and sets all of them."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.api.feed_views import FeedChanges, FeedList, FeedSecret, FeedView, NewFeed, view_feed
from services.ingest.intake.known_feeds import KnownFeeds
from services.ingest.intake.media import ACCEPTED_ENCODINGS
from services.ingest.store import feed_secrets, feeds
from services.ingest.store.feeds import FeedSettings
from shared.clock import now
from shared.errors import DeniedError, NotFoundError
from shared.http.auth import require
from shared.security.principals import Principal
from shared.security.sealing import MasterKey

_Keeper = Annotated[Principal, require("submitter", "operator")]
_Submitter = Annotated[
    UUID | None, Query(description="Whose feed: needed from an operator; a submitter has its own only.")
]


def feeds_router(engine: AsyncEngine, master_key: MasterKey, known: KnownFeeds) -> APIRouter:
    """Make the routes. `master_key` seals signing secrets; `known` is told when they change."""
    router = APIRouter(tags=["feeds"])

    @router.get("/v1/feeds", operation_id="list_feeds")
    async def list_feeds(principal: _Keeper, submitter_id: _Submitter = None) -> FeedList:
        """List feeds with how long each has been silent."""
        if principal.submitter_id is None and submitter_id is None:
            submitters = await feeds.submitters_with_feeds(engine)
        else:
            submitters = [_owner(principal, submitter_id)]
        found = await feeds.list_feeds(engine, submitters=submitters)
        as_of = now()
        return FeedList(data=[view_feed(feed, as_of) for feed in found])

    @router.post("/v1/feeds", operation_id="create_feed", status_code=201)
    async def create_feed(
        principal: _Keeper, feed: NewFeed, response: Response, submitter_id: _Submitter = None
    ) -> FeedView:
        """Open a feed; one that is there already stays as it is (200)."""
        owner = _owner(principal, submitter_id)
        settings = FeedSettings(**feed.model_dump(exclude={"name"}))
        created = await feeds.create_feed(engine, submitter_id=owner, name=feed.name, settings=settings)
        if not created:
            response.status_code = 200
        found = await feeds.get_feed(engine, submitter_id=owner, name=feed.name)
        return view_feed(found, now(), created=created)

    @router.get("/v1/feeds/{name}", operation_id="get_feed")
    async def get_feed(
        principal: _Keeper, name: str, response: Response, submitter_id: _Submitter = None
    ) -> FeedView:
        """Give one feed; the header Accept-Encoding says how files may be compressed."""
        response.headers["Accept-Encoding"] = ACCEPTED_ENCODINGS
        owner = _owner(principal, submitter_id)
        return view_feed(await feeds.get_feed(engine, submitter_id=owner, name=name), now())

    @router.patch("/v1/feeds/{name}", operation_id="edit_feed")
    async def edit_feed(
        principal: _Keeper, name: str, changes: FeedChanges, submitter_id: _Submitter = None
    ) -> FeedView:
        """Change what the body names and leave the rest. Counts for files that are read from now on."""
        owner = _owner(principal, submitter_id)
        named: dict[str, Any] = changes.model_dump(exclude_unset=True)
        return view_feed(await feeds.edit_feed(engine, submitter_id=owner, name=name, changes=named), now())

    @router.post("/v1/feeds/{name}/secrets", operation_id="create_feed_secret", status_code=201)
    async def create_feed_secret(
        principal: _Keeper, name: str, submitter_id: _Submitter = None
    ) -> FeedSecret:
        """Make a signing secret, shown this once. Within ten seconds unsigned requests are refused."""
        owner = _owner(principal, submitter_id)
        secret_id, secret = await feed_secrets.add_secret(engine, master_key, submitter_id=owner, feed=name)
        known.forget(owner, name)
        return FeedSecret(secret_id=secret_id, secret=secret)

    @router.delete("/v1/feeds/{name}/secrets/{secret_id}", operation_id="delete_feed_secret", status_code=204)
    async def delete_feed_secret(
        principal: _Keeper, name: str, secret_id: UUID, submitter_id: _Submitter = None
    ) -> None:
        """Forget a signing secret, within ten seconds everywhere."""
        owner = _owner(principal, submitter_id)
        await feed_secrets.remove_secret(engine, submitter_id=owner, feed=name, secret_id=secret_id)
        known.forget(owner, name)

    return router


def submitter_of(principal: Principal) -> UUID:
    """Give the submitter's id of a principal of that role."""
    if principal.submitter_id is None:
        raise DeniedError("Only a submitter may do this.")
    return principal.submitter_id


def _owner(principal: Principal, asked: UUID | None) -> UUID:
    """Say whose feeds are meant."""
    if principal.submitter_id is None:
        if asked is None:
            raise NotFoundError(
                "An operator has no feeds of its own.",
                remedy="Name their owner: ?submitter_id=…; GET /v1/feeds has the ids.",
            )
        return asked
    if asked not in (None, principal.submitter_id):
        raise NotFoundError("There is no such submitter that you may see.", remedy="Leave submitter_id out.")
    return principal.submitter_id
