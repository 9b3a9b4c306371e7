"""A quick route answers as any other does, whatever it is asked."""

from typing import Annotated, Any, Literal

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import DeniedError
from shared.http.app import create_app
from shared.http.auth import require
from shared.http.probes import Health
from shared.http.quick_route import QuickRoute
from shared.postgres import create_engine
from shared.security.principals import Principal
from tests.security.support import a_key
from tests.support.database import Database


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    states: list[Literal["open", "closed"]] | None = Field(None, max_length=2)
    words: Annotated[list[str], Field(description="Any.")] = []
    limit: Annotated[int, Field(ge=1)] = 50
    name: str | None = None


class Loose(BaseModel):
    limit: int = 50


async def closed() -> None:
    raise DeniedError("It is closed.", remedy="Come again.")


def app_with(engine: AsyncEngine, *route_class: Any) -> FastAPI:
    router = APIRouter(**dict(zip(("route_class",), route_class, strict=False)))

    @router.get("/v1/things")
    async def things(
        principal: Annotated[Principal, require("biller")], asked: Annotated[Asked, Query()]
    ) -> JSONResponse:
        return JSONResponse({"role": principal.role, **asked.model_dump()})

    @router.get("/v1/loose")
    async def loose(
        principal: Annotated[Principal, require("biller")], asked: Annotated[Loose, Query()]
    ) -> JSONResponse:
        return JSONResponse({"role": principal.role, **asked.model_dump()})

    @router.get("/v1/guarded", dependencies=[Depends(closed)])
    async def guarded(
        principal: Annotated[Principal, require("biller")], asked: Annotated[Asked, Query()]
    ) -> JSONResponse:
        return JSONResponse({"role": principal.role, **asked.model_dump()})

    @router.get("/v1/things/{number}")
    async def thing(number: int, limit: int = 1) -> JSONResponse:
        return JSONResponse([number, limit])

    app = create_app(title="x", version="0", engine=engine, health=Health())
    app.include_router(router)
    return app


async def answers(app: FastAPI, key: str, paths: list[str]) -> list[tuple[int, Any]]:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app),
        base_url="http://x",
        headers={"Authorization": f"Bearer {key}", "X-Request-Id": "0" * 32},
    ) as client:
        given = [await client.get(path) for path in paths]
    return [(one.status_code, one.json()) for one in given]


@pytest.mark.parametrize(("role", "status"), [("biller", 200), ("viewer", 403)])
async def test_it_answers_and_is_described_like_any_other(database: Database, role: str, status: int):
    engine = create_engine(database.owner, name="test")
    key = await a_key(database, role)
    plain, quick = app_with(engine), app_with(engine, QuickRoute)
    queries = (
        "",
        "?states=open",
        "?states=open&states=closed&limit=3",
        "?words=a&words=&name=",
        "?name=a&name=b",
    )
    mistakes = (
        "?states=gone",
        "?states=open&states=open&states=open",
        "?limit=0&name=a",
        "?limit=x&states=no",
        "?unknown=1",
        "?state=open&limit=2",
        "?limit=1&limit=x",
    )

    good, bad = ([f"/v1/things{one}" for one in some] for some in (queries, mistakes))
    others = (
        "/v1/loose?limit=2",
        "/v1/loose?unknown=1",
        "/v1/guarded",
        "/v1/things/4?limit=2",
        "/v1/things/x",
    )
    asked = [*good, *bad, *others]
    expected, actual = await answers(plain, key, asked), await answers(quick, key, asked)
    await engine.dispose()

    assert actual == expected
    assert {one for one, _ in actual[: len(good)]} == {status}
    assert all(one >= 400 for one, _ in actual[len(good) : len(good) + len(bad)])
    assert [one for one, _ in actual[-5:]] == [status, 422, 403, 200, 422]
    assert quick.openapi() == plain.openapi()
