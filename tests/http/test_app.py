"""The door: strangers get no further than the probes, every failure is a problem, nothing sent is echoed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import ConflictError, UnavailableError
from shared.http.app import create_app
from shared.http.auth import require, scope_of
from shared.http.probes import Health
from shared.postgres import create_engine
from shared.security.principals import Principal
from tests.security.support import a_key
from tests.support.database import Database


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=5)


def add_routes(app: FastAPI) -> None:
    @app.get("/v1/mine")
    async def mine(principal: Annotated[Principal, require("biller", "supervisor")]) -> dict[str, Any]:
        return {"role": principal.role, "scope": scope_of(principal)}

    @app.get("/v1/forgotten")
    async def forgotten(limit: int = 1) -> dict[str, int]:
        return {"limit": limit}

    @app.post("/v1/notes")
    async def notes(note: Note) -> None: ...

    @app.get("/v1/crash/{claim_number}")
    async def crash(claim_number: str) -> None:
        raise RuntimeError(f"PLANTEDDOE {claim_number}")

    @app.get("/v1/fails/{kind}")
    async def fails(kind: str) -> None:
        if kind == "conflict":
            raise ConflictError("The case changed meanwhile.", remedy="Read it again.")
        raise UnavailableError("The database does not answer.")


@dataclass
class Site:
    app: FastAPI
    http: httpx2.AsyncClient
    health: Health
    database: Database

    async def get(self, path: str, role: str | None = None, **options: Any) -> httpx2.Response:
        return await self.http.get(path, **await self.options(role, options))

    async def options(self, role: str | None, options: dict[str, Any]) -> dict[str, Any]:
        if role is not None:
            key = await a_key(self.database, role)
            options["headers"] = {"Authorization": f"Bearer {key}", **options.get("headers", {})}
        return options


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    engine = create_engine(database.url("reprieve_triage"), name="test")
    health = Health(watchdog_seconds=0.05)
    app = create_app(title="Test", version="1", engine=engine, health=health)
    add_routes(app)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Site(app, http, health, database)
    await engine.dispose()


def is_problem(response: httpx2.Response, status: int, slug: str) -> bool:
    body = response.json()
    return (
        response.status_code == status == body["status"]
        and response.headers["content-type"] == "application/problem+json"
        and body["type"] == f"urn:reprieve:problem:{slug}"
        and body["request_id"] == response.headers["x-request-id"]
    )


@pytest.mark.parametrize(
    "path", ["/v1/forgotten", "/v1/mine", "/metrics", "/openapi.json", "/nowhere", "/v1/fails/x"]
)
async def test_a_stranger_gets_no_further_than_the_probes(site: Site, path: str):
    answer = await site.get(path)
    assert is_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "reprieve keys create" in answer.json()["remedy"]


async def test_probes_are_open_and_ready_with_a_migrated_database(site: Site):
    assert (await site.get("/livez")).json() == {"alive": True, "silent": {}}
    ready = await site.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "failing": []})


async def test_a_role_opens_its_routes_and_no_others(site: Site):
    mine = await site.get("/v1/mine", "biller")
    assert mine.json()["role"] == "biller"
    assert len(mine.json()["scope"]["organizations"]) == 1
    refused = await site.get("/v1/mine", "viewer")
    assert is_problem(refused, 403, "forbidden")
    assert "biller, supervisor" in refused.json()["remedy"]
