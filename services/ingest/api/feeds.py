"""Feeds over HTTP: a submitter opens and lists its own."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.api.remittances import submitter_of
from services.ingest.api.views import FeedList, FeedView
from services.ingest.store import feeds
from shared.http.auth import require
from shared.security.principals import Principal

_Submitter = Annotated[Principal, require("submitter")]


class NewFeed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


class CreatedFeed(BaseModel):
    name: str
    created: bool


def feeds_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["feeds"])

    @router.get("/v1/feeds", operation_id="list_feeds")
    async def list_feeds(principal: _Submitter) -> FeedList:
        found = await feeds.list_feeds(engine, submitter_id=submitter_of(principal))
        return FeedList(data=[FeedView(**row) for row in found])

    @router.post("/v1/feeds", operation_id="create_feed", status_code=201)
    async def create_feed(principal: _Submitter, feed: NewFeed, response: Response) -> CreatedFeed:
        """Open a feed; one that is there already stays as it is (200)."""
        created = await feeds.create_feed(engine, submitter_id=submitter_of(principal), name=feed.name)
        if not created:
            response.status_code = 200
        return CreatedFeed(name=feed.name, created=created)

    return router
