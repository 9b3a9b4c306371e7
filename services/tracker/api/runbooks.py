"""
GET /runbooks/PAGE: what to do about an alert, for whoever follows the link in a message.

A browser that comes from Slack or from a pager has no key, and the pages say nothing about anybody: the door
lets everybody through to them, and to no other path.
"""

from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from shared.errors import NotFoundError

_PAGES = Path(__file__).parents[1] / "runbooks"  # in the project a link to docs/runbooks/


def read_runbooks() -> dict[str, str]:
    """Give the pages, by the name of their file."""
    return {page.name: page.read_text(encoding="utf-8") for page in _PAGES.glob("*.md")}


def runbooks_router(pages: Mapping[str, str]) -> APIRouter:
    """Make the route."""
    router = APIRouter()

    @router.get("/runbooks/{page}", include_in_schema=False, response_class=PlainTextResponse)
    async def get_runbook(page: str) -> str:
        if page not in pages:
            raise NotFoundError("There is no such page.", remedy="Every kind of alert has one of its name.")
        return pages[page]

    return router
