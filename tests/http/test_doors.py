"""The doors of the three APIs as they are served: who may call what, and how much a body may hold."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.app import api_app as ingest_app
from services.ingest.settings import IngestSettings
from services.tracker.api.files import Cabinet
from services.tracker.app import api_app as tracker_app
from services.triage.app import api as triage_app
from services.triage.policies import shipped_policies
from shared.http import app as app_module
from shared.http.probes import Health
from shared.postgres import create_engine
from shared.security.principals import Role
from shared.security.sealing import MasterKey
from shared.storage.vault import Vault
from tests.security.support import a_key
from tests.support.database import Database

MASTER_KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ROLES: frozenset[str] = frozenset(get_args(Role))

NO_KEY = None
ANYBODY = ROLES
PEOPLE = frozenset({"viewer", "biller", "supervisor", "auditor", "admin"})
RECONCILERS = frozenset({"operator", "supervisor", "auditor", "admin"})
KEEPERS = frozenset({"submitter", "operator"})
REPAIRERS = frozenset({"operator", "supervisor", "admin"})

EVERY_PROCESS = {
    "GET /livez": NO_KEY,
    "GET /readyz": NO_KEY,
    "GET /metrics": {"operator"},
}
EVERY_PRODUCER = {
    "GET /v1/parked": RECONCILERS,
    "POST /v1/parked/replay": REPAIRERS,
    "POST /v1/reconciliation/repair": REPAIRERS,
}
DOORS: dict[str, dict[str, set[str] | frozenset[str] | None]] = {
    "ingest": {
        **EVERY_PROCESS,
        **EVERY_PRODUCER,
        "POST /v1/remittances": {"submitter"},
        "POST /v1/remittances/known": {"submitter"},
        "GET /v1/remittances/{receipt_id}": PEOPLE | {"submitter"},
        "GET /v1/remittances/{receipt_id}/acknowledgment": {"submitter"},
        "GET /v1/remittances": PEOPLE,
        "GET /v1/quarantine": PEOPLE | {"operator"},
        "GET /v1/quarantine/{quarantine_id}": PEOPLE,
        "POST /v1/quarantine/{quarantine_id}/release": {"supervisor", "admin"},
        "POST /v1/quarantine/{quarantine_id}/dismiss": {"supervisor", "admin"},
        "POST /v1/remittances/{remittance_id}/replay": REPAIRERS,
        "POST /v1/replays": REPAIRERS,
        "GET /v1/held": {"submitter", "operator"},
        "GET /v1/feeds": KEEPERS,
        "POST /v1/feeds": KEEPERS,
        "GET /v1/feeds/{name}": KEEPERS,
        "PATCH /v1/feeds/{name}": KEEPERS,
        "POST /v1/feeds/{name}/secrets": KEEPERS,
        "DELETE /v1/feeds/{name}/secrets/{secret_id}": KEEPERS,
        "GET /v1/reconciliation/remittances": RECONCILERS,
        "GET /v1/reconciliation/events": RECONCILERS,
        "GET /v1/reconciliation/receipts": {"operator"},
    },
    "triage": {
        **EVERY_PROCESS,
        **EVERY_PRODUCER,
        "GET /v1/decisions/{event_id}": PEOPLE,
        "GET /v1/policies": ANYBODY,
        "GET /v1/policies/{policy_id}": ANYBODY,
        "GET /v1/policies/{policy_id}/versions/{number}": PEOPLE | {"operator"},
        "GET /v1/reevaluations": PEOPLE | {"operator"},
        "POST /v1/decisions/preview": PEOPLE,
        "POST /v1/simulations": PEOPLE | {"operator"},
        "GET /v1/coverage": PEOPLE | {"operator"},
        "PUT /v1/policies/{policy_id}": {"admin", "operator"},
        "POST /v1/policies/{policy_id}/versions/{number}/publish": {"admin", "operator"},
        "POST /v1/policies/{policy_id}/versions/{number}/retire": {"admin", "operator"},
        "GET /v1/codes": ANYBODY,
        "GET /v1/reconciliation/decisions": RECONCILERS,
    },
    "tracker": {
        **EVERY_PROCESS,
        **EVERY_PRODUCER,
        "GET /v1/cases": PEOPLE,
        "POST /v1/cases/search": PEOPLE,
        "GET /v1/cases/{case_id}": PEOPLE,
        "GET /v1/cases/{case_id}/timeline": PEOPLE,
        "GET /v1/cases/{case_id}/facts": PEOPLE,
        "POST /v1/cases/{case_id}/facts": {"biller", "supervisor", "admin"},
        "GET /v1/cases/{case_id}/steps": PEOPLE,
        "POST /v1/cases/{case_id}/steps": {"biller", "supervisor", "admin"},
        "GET /v1/cases/{case_id}/files": PEOPLE,
        "POST /v1/cases/{case_id}/files": {"biller", "supervisor", "admin"},
        "GET /v1/cases/{case_id}/files/{file_id}/content": {"biller", "supervisor", "admin"},
        "GET /v1/events": PEOPLE,
        "GET /v1/events/stream": PEOPLE,
        "GET /v1/cases.csv": PEOPLE,
        "GET /v1/cases.xlsx": PEOPLE,
        "GET /v1/views": PEOPLE,
        "PUT /v1/views": {"biller", "supervisor", "admin"},
        "DELETE /v1/views/{view_id}": {"biller", "supervisor", "admin"},
        "POST /v1/cases/bulk": {"supervisor", "admin"},
        "GET /v1/worklist": {"biller", "supervisor", "admin"},
        "GET /v1/alerts": PEOPLE | {"operator"},
        "POST /v1/alerts/{alert_id}/acknowledgment": REPAIRERS | {"biller"},
        "DELETE /v1/alerts/{alert_id}/acknowledgment": REPAIRERS | {"biller"},
        "GET /v1/alerts/preview": PEOPLE | {"operator"},
        "PUT /v1/alerts/reconciliation": REPAIRERS,
        "GET /v1/alerts/rules/{rule_id}/digest": PEOPLE | {"operator"},
        "GET /v1/alerts/rules": PEOPLE | {"operator"},
        "POST /v1/alerts/rules": REPAIRERS,
        "POST /v1/alerts/rules/preview": PEOPLE | {"operator"},
        "PUT /v1/alerts/rules/{rule_id}": REPAIRERS,
        "DELETE /v1/alerts/rules/{rule_id}": REPAIRERS,
        "GET /v1/alerts/routes": PEOPLE | {"operator"},
        "PUT /v1/alerts/routes": REPAIRERS,
        "GET /v1/alerts/silences": PEOPLE | {"operator"},
        "POST /v1/alerts/silences": REPAIRERS,
        "DELETE /v1/alerts/silences/{silence_id}": REPAIRERS,
        "POST /v1/alerts/maintenance": REPAIRERS,
        "GET /v1/alerts/channels": PEOPLE | {"operator"},
        "POST /v1/alerts/channels": REPAIRERS,
        "GET /v1/alerts/channels/{channel_id}": PEOPLE | {"operator"},
        "PATCH /v1/alerts/channels/{channel_id}": REPAIRERS,
        "POST /v1/alerts/channels/{channel_id}/secret": REPAIRERS,
        "POST /v1/alerts/channels/{channel_id}/disable": REPAIRERS,
        "POST /v1/alerts/channels/{channel_id}/enable": REPAIRERS,
        "POST /v1/alerts/channels/{channel_id}/test": REPAIRERS,
        "GET /v1/alerts/channels/{channel_id}/attempts": PEOPLE | {"operator"},
        "GET /v1/alerts/channels/{channel_id}/notifications": PEOPLE | {"operator"},
        "GET /v1/alerts/channels/{channel_id}/notifications/{notification_id}": PEOPLE | {"operator"},
        "POST /v1/alerts/channels/{channel_id}/notifications/{notification_id}/resend": REPAIRERS,
        "GET /v1/summary": PEOPLE,
        "GET /v1/reconciliation/ledger": RECONCILERS,
    },
}
RULE = {"name": "new", "settings": {"kind": "new_case", "amount_at_least": "1.00"}}
BODIES = {
    "POST /v1/quarantine/{quarantine_id}/release": {"reason": "the payer's portal", "paid_amount": "0"},
    "POST /v1/quarantine/{quarantine_id}/dismiss": {"reason": "the payer sent it again"},
    "POST /v1/replays": {"quarantined": True},
    "POST /v1/cases/{case_id}/steps": {"kind": "note", "note": "called"},
    "POST /v1/feeds": {"name": "main"},
    "POST /v1/remittances/known": {"sha256": ["0" * 64]},
    "PATCH /v1/feeds/{name}": {"cadence_hours": 24},
    "PUT /v1/views": {"name": "mine"},
    "POST /v1/cases/bulk": {"items": [{"case_id": str(uuid4())}], "step": {"kind": "tag", "tag": "x"}},
    "POST /v1/cases/search": {"state": ["open"]},
    "POST /v1/cases/{case_id}/facts": {"kind": "admission_date", "value": "2026-11-01"},
    "POST /v1/decisions/preview": {"denial": {}},
    "POST /v1/simulations": {"policies": {}},
    "PUT /v1/policies/{policy_id}": {"content": "id = ", "reason": "the page changed", "based_on": 0},
    "POST /v1/policies/{policy_id}/versions/{number}/publish": {"reason": "checked by hand"},
    "POST /v1/policies/{policy_id}/versions/{number}/retire": {"reason": "it was wrong"},
    "POST /v1/alerts/rules": RULE,
    "POST /v1/alerts/rules/preview": RULE,
    "PUT /v1/alerts/rules/{rule_id}": RULE,
    "PUT /v1/alerts/reconciliation": {"agrees": True},
    "PUT /v1/alerts/routes": {"routing": {"route": {"name": "everything", "channels": "all"}}},
    "POST /v1/alerts/silences": {
        "match": {"severities": ["info"]},
        "reason": "known",
        "ends_at": "2999-01-01T00:00:00Z",
    },
    "POST /v1/alerts/maintenance": {"reason": "an update", "ends_at": "2020-01-01T00:00:00Z"},
    "POST /v1/alerts/channels": {
        "name": "ours",
        "kind": "webhook",
        "settings": {"url": "https://hooks.example/x"},
    },
    "PATCH /v1/alerts/channels/{channel_id}": {"name": "ours"},
    "POST /v1/alerts/channels/{channel_id}/secret": {},
    "POST /v1/parked/replay": {"all": True},
    "POST /v1/reconciliation/repair": {"items": []},
}


@dataclass
class Services:
    """The three APIs on one database, with a key per role."""

    apps: Mapping[str, FastAPI]
    clients: Mapping[str, httpx2.AsyncClient]
    keys: dict[str, str]

    async def ask(
        self, service: str, route: str, role: str | None = None, *, query: str = ""
    ) -> httpx2.Response:
        """Call a route, with an id that nobody knows in its path."""
        method, _, template = route.partition(" ")
        path = "/".join(
            "1" if part == "{number}" else str(uuid4()) if part.startswith("{") else part
            for part in template.split("/")
        )
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        if template.endswith("/stream"):
            headers["Last-Event-ID"] = "nobody's"  # or it would never end
        return await self.clients[service].request(
            method, path + query, json=BODIES.get(route), headers=headers
        )


@pytest.fixture(scope="module")
async def services(
    shared_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    async with open_services(shared_database, tmp_path_factory.mktemp("raw")) as opened:
        opened.keys |= {role: await a_key(shared_database, role) for role in ROLES}
        yield opened


@asynccontextmanager
async def open_services(database: Database, folder: Path) -> AsyncIterator[Services]:
    """Open the three APIs, without keys yet."""
    async with AsyncExitStack() as opened:
        engines = {service: await opened.enter_async_context(_engine(database, service)) for service in DOORS}
        settings = IngestSettings(
            database_url=database.url("reprieve_ingest"), master_key=MASTER_KEY_TEXT, raw_dir=folder
        )
        vault = Vault(folder, MasterKey.from_text(MASTER_KEY_TEXT))
        apps = {
            "ingest": ingest_app(settings, engines["ingest"], vault=vault, health=Health()),
            "triage": triage_app(engines["triage"], shipped_policies()),
            "tracker": tracker_app(
                engines["tracker"],
                master_key=MASTER_KEY_TEXT,
                health=Health(),
                cabinet=Cabinet(
                    Vault(folder / "files", MasterKey.from_text(MASTER_KEY_TEXT)), 10_000, 20_000
                ),
            ),
        }
        clients = {
            service: await opened.enter_async_context(
                httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=f"http://{service}")
            )
            for service, app in apps.items()
        }
        yield Services(apps, clients, {})


@asynccontextmanager
async def _engine(database: Database, service: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.url(f"reprieve_{service}"), name="test")
    yield engine
    await engine.dispose()


def routes() -> Iterator[tuple[str, str, set[str] | frozenset[str] | None]]:
    for service, doors in DOORS.items():
        for route, roles in doors.items():
            yield service, route, roles


async def test_every_route_stands_in_the_table(services: Services):
    for service, app in services.apps.items():
        described = {
            f"{method.upper()} {path}"
            for path, methods in app.openapi()["paths"].items()
            for method in methods
        }
        assert described == set(DOORS[service]), service


async def test_each_route_opens_to_its_roles_and_to_nobody_else(services: Services):
    for service, route, roles in routes():
        stranger = await services.ask(service, route)
        assert (stranger.status_code == 401) == (roles is not None), (service, route)
        for role in ROLES:
            answer = await services.ask(service, route, role)
            allowed = roles is None or role in roles
            assert (answer.status_code != 403) == allowed, (service, route, role, answer.text)
            assert answer.status_code < 500, (service, route, role, answer.text)


async def test_a_method_that_a_door_does_not_have_is_told_those_that_it_has(services: Services):
    for service, doors in DOORS.items():
        for path in {route.partition(" ")[2] for route in doors if route.startswith("GET")}:
            answer = await services.ask(service, f"TRACE {path}", "admin")
            assert answer.status_code == 405, (service, path, answer.text)
            assert "GET" in answer.headers["allow"].split(", "), (service, path)


@pytest.mark.parametrize("instant", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00"])
async def test_an_instant_beyond_the_calendar_is_refused(services: Services, instant: str):
    for service, route, name in (
        ("triage", "GET /v1/reconciliation/decisions", "since"),
        ("tracker", "GET /v1/reconciliation/ledger", "since"),
        ("tracker", "GET /v1/events", "since"),
        ("tracker", "GET /v1/cases", "deadline_from"),
        ("tracker", "GET /v1/cases", "deadline_before"),
    ):
        answer = await services.ask(service, route, "supervisor", query=f"?{name}={instant}")
        assert answer.status_code == 422, (service, route, answer.text)


async def test_a_request_with_two_keys_is_nobodys(services: Services):
    keys = [("Authorization", f"Bearer {services.keys[role]}") for role in ("viewer", "admin")]
    assert (await services.clients["tracker"].get("/v1/summary", headers=keys[:1])).status_code == 200
    assert (await services.clients["tracker"].get("/v1/summary", headers=keys)).status_code == 401


def test_who_may_send_again_may_see_what_is_missing():
    assert REPAIRERS < RECONCILERS


async def test_an_id_that_nobody_knows_is_not_there_for_those_who_may_ask(services: Services):
    for service, route, roles in routes():
        if "{" in route and not route.startswith("PUT"):  # which makes it
            for role in roles or ():
                answer = await services.ask(service, route, role)
                assert answer.status_code == 404, (service, route, role, answer.text)


async def test_names_open_only_to_those_who_work_cases(services: Services):
    for role in PEOPLE:
        answer = await services.ask("tracker", "GET /v1/cases/{case_id}", role, query="?reveal=true")
        assert answer.status_code == (404 if role in {"biller", "supervisor", "admin"} else 403), role


async def test_only_the_door_for_files_takes_a_large_body(
    services: Services, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(app_module, "BODY_BYTES_MAX", 1000)
    assert (await services.ask("ingest", "POST /v1/feeds", "submitter")).is_success
    ingest = services.clients["ingest"]
    headers = {"Authorization": f"Bearer {services.keys['submitter']}", "Content-Type": "text/plain"}
    large = {"content": b"x" * 2000, "headers": headers}

    assert (await ingest.post("/v1/feeds", **large)).status_code == 413
    assert (await ingest.post("/v1/remittances?feed=main", **large)).status_code == 202


@pytest.mark.parametrize("place", ["?feed=%00", "?feed=main&file_name=%00%0a", "?cursor=%00", "?payer=a%0Ab"])
async def test_no_door_passes_a_control_character_on(services: Services, place: str):
    for service, route, roles in routes():
        for role in ROLES if roles is None else roles:
            answer = await services.ask(service, route, role, query=place)
            assert answer.status_code == 422, (service, route, role, answer.text)
            assert "control character" in answer.json()["detail"]


async def test_no_path_carries_a_control_character(services: Services):
    headers = {"Authorization": f"Bearer {services.keys['supervisor']}"}
    for service, route, _ in routes():
        method, _, template = route.partition(" ")
        if "{" in template:
            path = template[: template.index("{")] + "%00" + template[template.index("}") + 1 :]
            answer = await services.clients[service].request(method, path, headers=headers)
            assert answer.status_code == 422, (service, route, answer.text)


async def test_an_unknown_parameter_is_named_at_every_door(services: Services):
    for service, route, roles in routes():
        role = next(iter(roles or ROLES))
        answer = await services.ask(service, route, role, query="?stat=open")
        assert answer.status_code == 422, (service, route, answer.text)
        assert {"query.stat"} <= {one["field"] for one in answer.json()["errors"]}, (service, route)
