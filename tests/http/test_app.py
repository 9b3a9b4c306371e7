"""The door: strangers get no further than the probes, every failure is a problem, nothing sent is echoed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text

from shared.errors import ConflictError, UnavailableError
from shared.http import app as app_module
from shared.http.app import create_app
from shared.http.auth import require, scope_of
from shared.http.probes import Health, database_check
from shared.http.versions import API_VERSION
from shared.observability.logging import configure_logging
from shared.postgres import create_engine, transaction
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

    @app.post("/v1/stream")
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @app.get("/v1/crash/{claim_number}")
    async def crash(claim_number: str) -> None:
        raise RuntimeError(f"PLANTEDDOE {claim_number}")

    @app.get("/v1/fails/{kind}")
    async def fails(kind: str, name: str = "") -> None:
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
    health = Health()
    app = create_app(
        title="Test",
        version="1",
        engine=engine,
        health=health,
        streaming_routes=[("POST", "/v1/stream")],
    )
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


async def test_a_crash_answers_with_a_problem_and_tells_nothing(site: Site, capsys):
    configure_logging("test")
    answer = await site.get("/v1/crash/CLM777", "viewer")
    assert is_problem(answer, 500, "defect")
    logged = capsys.readouterr().err
    assert "request_crashed" in logged
    assert "test_app.py" in logged
    for planted in ("PLANTEDDOE", "CLM777"):
        assert planted not in answer.text + logged


async def test_errors_raised_on_purpose_keep_their_status_and_remedy(site: Site):
    conflict = await site.get("/v1/fails/conflict", "viewer")
    assert is_problem(conflict, 409, "conflict")
    assert conflict.json()["remedy"] == "Read it again."
    unavailable = await site.get("/v1/fails/database", "viewer")
    assert is_problem(unavailable, 503, "unavailable")
    assert int(unavailable.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/livez", "/v1/mine", "/nowhere", "/v1/fails/conflict", "/v1/crash/x"])
async def test_every_answer_tells_the_version_of_the_api(site: Site, path: str):
    for role in ("biller", None):
        answer = await site.get(path, role, headers={"Api-Version": API_VERSION})
        assert answer.headers["api-version"] == API_VERSION
        assert answer.json().get("type") != "urn:reprieve:problem:invalid-input"


@pytest.mark.parametrize("asked", ["2026-01-01", "PLANTEDDOE", ""])
async def test_a_version_that_is_not_served_is_refused_and_the_served_one_named(site: Site, asked: str):
    answer = await site.get("/v1/mine", "biller", headers={"Api-Version": asked})
    assert is_problem(answer, 422, "invalid-input")
    assert API_VERSION in answer.json()["remedy"]
    assert "PLANTED" not in answer.text
    stranger = await site.get("/v1/mine", headers={"Api-Version": asked})
    assert is_problem(stranger, 401, "unauthenticated")


async def test_unknown_paths_and_methods_are_problems_too(site: Site):
    assert is_problem(await site.get("/nowhere", "viewer"), 404, "not-found")
    options = await site.options("viewer", {})
    wrong = await site.http.delete("/v1/mine", **options)
    assert is_problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET"


async def test_validation_names_the_field_and_never_echoes_the_value(site: Site):
    options = await site.options("viewer", {})
    query = await site.http.get("/v1/forgotten?limit=PLANTEDDOE", **options)
    assert is_problem(query, 422, "invalid-input")
    assert query.json()["errors"] == [{"field": "query.limit", "problem": "int parsing"}]

    body = await site.http.post("/v1/notes", json={"text": "PLANTEDDOE", "PLANTED DOE": 1}, **options)
    assert is_problem(body, 422, "invalid-input")
    assert {"field": "body.text", "problem": "string too long (max_length 5)"} in body.json()["errors"]
    assert {"field": "body.?", "problem": "extra forbidden"} in body.json()["errors"]

    broken = await site.http.post(
        "/v1/notes",
        content=b"{PLANTEDDOE",
        headers={**options["headers"], "content-type": "application/json"},
    )
    assert is_problem(broken, 422, "invalid-input")
    assert "PLANTED" not in query.text + body.text + broken.text


@pytest.mark.parametrize(
    "path", ["/v1/fails/%00", "/v1/forgotten?limit=1%00", "/v1/forgotten?%00=1", "/v1/fails/x?a=%0a&b=%C2%85"]
)
async def test_a_control_character_in_a_url_is_refused(site: Site, path: str):
    answer = await site.get(path, "viewer")
    assert is_problem(answer, 422, "invalid-input")
    assert "control character" in answer.json()["detail"]
    assert is_problem(await site.get(path), 401, "unauthenticated"), "strangers get no further all the same"


async def test_a_parameter_that_the_route_does_not_have_is_named(site: Site):
    answer = await site.get("/v1/forgotten?limit=2&limits=3&PLANTED%20DOE=4", "viewer")
    assert is_problem(answer, 422, "invalid-input")
    assert answer.json()["errors"] == [
        {"field": "query.limits", "problem": "unknown parameter (expected limit)"},
        {"field": "query.?", "problem": "unknown parameter (expected limit)"},
    ]
    assert (await site.get("/v1/forgotten?limit=2", "viewer")).json() == {"limit": 2}


@pytest.mark.parametrize("body", [b'{"text": "\xff"}', b"[" * 200_000])
async def test_a_body_that_cannot_be_decoded_is_a_problem_with_a_remedy(site: Site, body: bytes):
    options = await site.options("viewer", {"headers": {"content-type": "application/json"}})
    answer = await site.http.post("/v1/notes", content=body, **options)
    assert is_problem(answer, 400, "bad-request")
    assert "JSON" in answer.json()["remedy"]


async def test_probes_answer_head_too(site: Site):
    for path in ("/livez", "/readyz"):
        answer = await site.http.head(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


class Body:
    """A body of many pieces that tells how much of it was asked for."""

    def __init__(self, *, pieces: int) -> None:
        self._pieces = pieces
        self.bytes_read = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        for _ in range(self._pieces):
            self.bytes_read += 64
            yield b"x" * 64


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream", None])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_of_any_kind_has_a_limit(site: Site, monkeypatch, kind: str | None, *, announced: bool):
    monkeypatch.setattr(app_module, "BODY_BYTES_MAX", 256)
    options = await site.options("viewer", {})
    body = Body(pieces=100)
    headers = options["headers"] | ({"content-type": kind} if kind else {})
    if announced:
        headers["content-length"] = "6400"
    answer = await site.http.post("/v1/notes", content=body.chunks(), headers=headers)
    assert is_problem(answer, 413, "too-large")
    assert body.bytes_read <= (0 if announced else 256 + 64)


async def test_a_body_that_its_route_streams_has_no_limit_at_the_door(site: Site, monkeypatch):
    monkeypatch.setattr(app_module, "BODY_BYTES_MAX", 256)
    options = await site.options("viewer", {})
    for path, expected in (("/v1/stream", 200), ("/v1/notes", 413)):
        answer = await site.http.post(path, content=Body(pieces=100).chunks(), **options)
        assert answer.status_code == expected
    assert (await site.http.post("/v1/stream", content=b"x" * 6400, **options)).json() == 6400
    assert (await site.http.put("/v1/stream", content=b"x" * 6400, **options)).status_code == 413


async def test_a_request_id_is_taken_over_only_when_it_is_a_uuid(site: Site):
    given = "0b5c8f0e-6f5e-4c53-9d4f-5d7f6f0f7a11"
    taken = await site.http.get("/livez", headers={"x-request-id": given})
    assert taken.headers["x-request-id"] == given
    replaced = await site.http.get("/livez", headers={"x-request-id": "PLANTEDDOE"})
    assert UUID(replaced.headers["x-request-id"]).version == 4


async def test_each_request_leaves_one_line_with_its_route_and_not_its_path(site: Site, capsys):
    configure_logging("test")
    answer = await site.get("/v1/fails/PLANTEDDOE?name=PLANTEDDOE", "viewer")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = [line for line in lines if line["event"] == "request_served"]
    assert line["route"] == "/v1/fails/{kind}"
    assert (line["status"], line["role"], line["method"]) == (503, "viewer", "GET")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "dropped_keys" not in line
    assert "PLANTED" not in json.dumps(lines)


async def test_metrics_are_for_operators_and_name_nobody(site: Site):
    await site.get("/v1/crash/CLM777", "viewer")
    assert is_problem(await site.get("/metrics", "admin"), 403, "forbidden")
    metrics = await site.get("/metrics", "operator")
    assert (
        'reprieve_http_requests_total{method="GET",route="/v1/crash/{claim_number}",status="500"}'
        in metrics.text
    )
    assert "CLM777" not in metrics.text


async def test_answers_are_not_cached_and_the_api_description_needs_a_key(site: Site):
    described = await site.get("/openapi.json", "viewer")
    assert described.status_code == 200
    assert "/v1/mine" in described.json()["paths"]
    assert described.json()["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    assert described.headers["cache-control"] == "no-store"
    assert (await site.get("/docs", "viewer")).status_code == 404


async def test_a_silent_loop_fails_livez_until_it_beats_or_retires(site: Site):
    site.health.watch("relay", seconds=0.01)
    site.health.beat("consumer")
    await until(lambda: bool(site.health.silent()))
    dead = await site.get("/livez")
    assert dead.status_code == 503
    assert "relay" in dead.json()["silent"]
    site.health.watch("relay", seconds=30)
    site.health.retire("consumer")
    assert (await site.get("/livez")).status_code == 200


async def test_readyz_names_the_check_that_fails_and_not_why(site: Site):
    async def fails() -> None:
        raise RuntimeError("PLANTEDDOE")

    site.health.add_check("topics", fails)
    unready = await site.get("/readyz")
    assert (unready.status_code, unready.json()) == (503, {"ready": False, "failing": ["topics"]})


async def test_who_asks_for_readiness_at_once_shares_one_answer():
    asked, go = [], asyncio.Event()

    async def check() -> None:
        asked.append(1)
        await go.wait()

    health = Health()
    health.add_check("database", check)
    asking = [asyncio.create_task(health.unready()) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.pop().cancel()
    go.set()

    assert await asyncio.gather(*asking) == [[]] * 49
    assert len(asked) == 1


async def test_readyz_fails_on_an_outdated_or_absent_database(site: Site):
    owner = create_engine(site.database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(text("update reprieve_migrations set version_num = '0001'"))
    assert (await site.get("/readyz")).json() == {"ready": False, "failing": ["database"]}
    async with transaction(owner) as connection:
        await connection.execute(text("update reprieve_migrations set version_num = '9999'"))
    assert (await site.get("/readyz")).status_code == 200, "a newer database is how a deployment rolls"
    await owner.dispose()

    absent = create_engine("postgresql+asyncpg://x:x@127.0.0.1:1/none", name="test")
    health = Health()
    health.add_check("database", database_check(absent))
    assert await health.unready() == ["database"]
    await absent.dispose()


async def until(holds: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)
