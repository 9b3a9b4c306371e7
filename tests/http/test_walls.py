"""
No route tells one organization anything of another: not by an id, a list, a count, or an error's words.

Every route of the three services stands in one of the tables here; a new one without an entry fails.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.workers.evaluating import look_at
from services.tracker.api import events as stream
from services.tracker.domain.observations import observe
from services.tracker.workers.recording import record_decisions
from services.triage.store.policy_sets import PolicySets
from services.triage.workers.deciding import Rules
from shared import clock
from shared.calendars import Calendar
from shared.contracts.base import encode
from shared.contracts.topics import EVENT_TYPES
from shared.observability.logging import configure_logging
from shared.postgres import create_engine
from shared.security.administration import create_organization, create_principal_with_key
from shared.security.sealing import MasterKey
from tests.http.test_doors import BODIES, DOORS, MASTER_KEY_TEXT, PEOPLE, RULE, open_services
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, paid, remittance
from tests.ingest.site import open_site
from tests.support.database import Database
from tests.triage.conftest import SHIPPED, RecordingProducer, Triage
from tests.triage.policies import draft, policy_text

PATIENT = ("DOE", "JANE", "MEMBER123")
CLAIMS = ("WALLED-1", "WALLED-2", "WALLED-3", "WALLED-4", "WALLED-5", "WALLEDPAYER")
POLICY = "walledplan"
FEED = "walledfeed"
WORDS = "walled words"
FILE_NAME = "walledfile.txt"
MARKS = (*PATIENT, *CLAIMS, POLICY, FEED, WORDS, FILE_NAME, "WALLEDTRACE")
PLANTED = "PLANTEDDOE"

A_FILE = remittance(
    TestSet(
        [
            denied("WALLED-1", payer_number="WALLEDPAYER"),
            denied("WALLED-2"),
            paid("WALLED-3"),
            denied("WALLED-4"),
        ],
        trace="WALLEDTRACE",
    ),
    TestSet([denied("WALLED-5")], npi=OTHER_NPI, trace="WALLEDTRACE2"),
).replace(b"CLP*WALLED-4*1*500", b"CLP*WALLED-4*1*5OO")

LISTS = {
    "ingest": {
        "GET /v1/remittances",
        "GET /v1/quarantine",
        "GET /v1/held",
        "GET /v1/feeds",
        "GET /v1/reconciliation/remittances",
        "GET /v1/reconciliation/events",
    },
    "triage": {
        "GET /v1/parked",
        "GET /v1/policies",
        "GET /v1/reevaluations",
        "POST /v1/simulations",
        "GET /v1/coverage",
        "GET /v1/reconciliation/decisions",
    },
    "tracker": {
        "GET /v1/cases",
        "GET /v1/cases.csv",
        "GET /v1/cases.xlsx",
        "POST /v1/cases/search",
        "GET /v1/events",
        "GET /v1/views",
        "GET /v1/worklist",
        "GET /v1/summary",
        "GET /v1/alerts",
        "GET /v1/alerts/rules",
        "GET /v1/alerts/preview",
        "POST /v1/alerts/rules/preview",
        "GET /v1/alerts/routes",
        "GET /v1/alerts/silences",
        "GET /v1/alerts/channels",
        "GET /v1/reconciliation/ledger",
    },
}
"""What a route without an id tells: A's row to A, and to B the same before and after A has any."""

AIMED: dict[str, Any] = {
    "POST /v1/remittances/known": lambda its: {"sha256": [its["sha256"]]},
    "POST /v1/replays": lambda its: {"remittance_id": its["remittance_id"]},
    "POST /v1/parked/replay": lambda its: {"items": [_message(its)]},
    "POST /v1/reconciliation/repair": lambda its: {"items": [_message(its)]},
    "POST /v1/cases/bulk": lambda its: {
        "items": [{"case_id": its["case_id"]}],
        "step": {"kind": "tag", "tag": "theirs"},
    },
    "POST /v1/decisions/preview": lambda its: {"event_id": its["event_id"]},
}
"""A body without a path's id that names what is A's."""

STREAMS = {"GET /v1/events/stream"}
OF_THE_CALLER = {
    "GET /livez",
    "GET /readyz",
    "GET /metrics",  # the operator's
    "GET /v1/codes",
    "GET /v1/reconciliation/receipts",  # the operator's
    "POST /v1/remittances",
    "POST /v1/feeds",
    "PUT /v1/views",
    "POST /v1/alerts/rules",
    "PUT /v1/alerts/routes",
    "PUT /v1/alerts/reconciliation",
    "POST /v1/alerts/silences",
    "POST /v1/alerts/maintenance",
    "POST /v1/alerts/channels",
}
"""Routes that tell the same to everybody, or only what the caller sends."""

NOT_PARKED_HERE = {("ingest", "GET /v1/parked"), ("tracker", "GET /v1/parked")}
"""Served by the code that triage's answers with."""


def _message(its: Mapping[str, str]) -> dict[str, Any]:
    return {"organization_id": its["organization_id"], "message_id": its["event_id"], "revision": 1}


@dataclass
class Walled:
    """Organization A with something of everything, and B, which has keys of every role and nothing."""

    apps: Mapping[str, FastAPI]
    clients: Mapping[str, httpx2.AsyncClient]
    keys: Mapping[str, Mapping[str, str]]
    its: dict[str, str]
    before: dict[tuple[str, str, str], tuple[int, str]]

    async def ask(
        self, service: str, route: str, whose: str, role: str, its: Mapping[str, str], **options: Any
    ) -> httpx2.Response:
        method, _, template = route.partition(" ")
        path = re.sub(r"\{(\w+)\}", lambda found: quote(its[found[1]], safe=""), template)
        body = AIMED[route](its) if route in AIMED else BODIES.get(route)
        asked = {"json": body} if method != "GET" and body is not None else {}
        headers = {"Authorization": f"Bearer {self.keys[whose][role]}"} | options.pop("headers", {})
        return await self.clients[service].request(method, path, headers=headers, **asked | options)

    def roles(self, service: str, route: str) -> set[str]:
        """B's roles that the route opens to; the operator belongs to nobody."""
        return set(DOORS[service][route] or PEOPLE) & self.keys["B"].keys()

    async def lists(self) -> dict[tuple[str, str, str], tuple[int, str]]:
        """What B sees wherever no id is asked for."""
        return {
            (service, route, role): plain(await self.ask(service, route, "B", role, self.its))
            for service, found in LISTS.items()
            for route in found
            for role in self.roles(service, route)
        }


def plain(answer: httpx2.Response, its: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Give status and body, without the request's id, the clock's time, and the ids that were asked for."""
    text = re.sub(r'"request_id":"[^"]*"', "", answer.text)
    text = re.sub(r'"(next_cursor|as_of|at)":"[^"]*"', "", text)
    text = re.sub(r'"silent_for_hours":[0-9.]+', "", text)
    if "spreadsheet" in answer.headers.get("content-type", ""):  # a zip, which knows the time
        text = str(len(answer.content))
    for value in (its or {}).values():
        text = text.replace(value, "…") if len(value) > 1 else text
    return answer.status_code, text


@pytest.fixture(scope="module")
async def site(
    shared_database: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Walled]:
    folder = tmp_path_factory.mktemp("walled")
    async with open_site(shared_database, folder) as a, open_services(shared_database, folder) as services:
        b = await create_organization(
            a.owner, name="B", time_zone="UTC", master_key=MasterKey.from_text(MASTER_KEY_TEXT)
        )
        keys = {
            whose: {
                role: (
                    await create_principal_with_key(
                        a.owner, role=role, name=role, organization_id=organization_id
                    )
                ).text
                for role in PEOPLE
            }
            for whose, organization_id in (("A", a.organization_id), ("B", b.organization_id))
        }
        keys["A"] |= {"submitter": a.keys["submitter"], "operator": a.keys["operator"]}
        keys["B"] |= {"submitter": a.keys["other"]}
        engines = [
            create_engine(shared_database.url(f"reprieve_{one}"), name=one) for one in ("triage", "tracker")
        ]
        clients = {**services.clients, "ingest": a.client}
        its = {name: str(uuid4()) for name in ("remittance_id", "event_id", "organization_id")}
        site = Walled(services.apps, clients, keys, {**its, "sha256": "0" * 64}, {})
        site.before = await site.lists()
        site.its = await _fill(site, a, *engines)
        yield site
        for engine in engines:
            await engine.dispose()


async def _fill(
    site: Walled, a: Any, triage_engine: AsyncEngine, tracker_engine: AsyncEngine
) -> dict[str, str]:
    """Send A's file the whole way, and let A's people do something about each part."""
    assert (await _as(site, "ingest", "submitter", "POST", "/v1/feeds", {"name": FEED})).status_code == 201
    receipt = await a.take_in(A_FILE, feed=FEED)
    assert (receipt["claims_read"], receipt["held_claims"]) == (5, 1)
    secret = (await _as(site, "ingest", "submitter", "POST", f"/v1/feeds/{FEED}/secrets")).json()
    (quarantined,) = (await _as(site, "ingest", "admin", "GET", "/v1/quarantine")).json()["data"]

    sent = await _as(
        site, "triage", "admin", "PUT", f"/v1/policies/{POLICY}", draft(policy_text(id=POLICY), reason=WORDS)
    )
    assert sent.status_code == 201, sent.text
    number = sent.json()["number"]
    published = await _as(
        site, "triage", "admin", "POST", f"/v1/policies/{POLICY}/versions/{number}/publish", {"reason": WORDS}
    )
    assert published.status_code == 200, published.text
    triage = Triage(
        triage_engine, RecordingProducer(), Rules(policies=PolicySets(SHIPPED), calendar=Calendar())
    )
    events = await a.events()
    await triage.handle(*events)
    decisions = [
        msgspec.convert(row.payload, type=EVENT_TYPES[row.type])
        for row in await triage.decisions(a.organization_id)
    ]
    await record_decisions(tracker_engine, [(observe(one), encode(one)) for one in decisions])
    await triage.park_decisions(a.organization_id)

    alerting = await _alerts(site)
    await look_at(tracker_engine, a.organization_id, at=clock.now())
    (alert, *_) = (await _as(site, "tracker", "viewer", "GET", "/v1/alerts")).json()["data"]

    case = (await _as(site, "tracker", "viewer", "GET", "/v1/cases")).json()["data"][0]
    place = f"/v1/cases/{case['case_id']}"
    for path, body in (
        (f"{place}/facts", {"kind": "urgency", "value": "urgent", "note": WORDS}),
        (f"{place}/steps", {"kind": "note", "note": WORDS}),
        (f"{place}/steps", {"kind": "tag", "tag": "walledtag"}),
    ):
        done = await _as(site, "tracker", "biller", "POST", path, body)
        assert done.status_code == 201, done.text
    headers = {
        "Authorization": f"Bearer {site.keys['A']['biller']}",
        "Content-Type": "text/plain",
        "Content-Disposition": f'attachment; filename="{FILE_NAME}"',
    }
    file = await site.clients["tracker"].post(f"{place}/files", content=WORDS, headers=headers)
    assert file.status_code == 201, file.text
    view = await _as(site, "tracker", "admin", "PUT", "/v1/views", {"name": WORDS})
    assert view.is_success, view.text
    return {
        "organization_id": str(a.organization_id),
        "receipt_id": receipt["receipt_id"],
        "sha256": receipt["sha256"],
        "remittance_id": quarantined["remittance_id"],
        "quarantine_id": quarantined["quarantine_id"],
        "name": FEED,
        "secret_id": secret["secret_id"],
        "event_id": str(events[0].event_id),
        "policy_id": POLICY,
        "number": str(number),
        "case_id": case["case_id"],
        "file_id": file.json()["file"]["file_id"],
        "alert_id": alert["alert_id"],
        "view_id": view.json()["view_id"],
        **alerting,
    }


async def _alerts(site: Walled) -> dict[str, str]:
    """Let A's admin have a rule, a silence, and a channel with a message in it."""
    place, made = "/v1/alerts", {}
    tomorrow = (clock.now() + timedelta(days=1)).isoformat()
    for name, path, body in (
        ("rule_id", f"{place}/rules", {**RULE, "name": WORDS}),
        ("rule_id", f"{place}/rules", {"name": f"{WORDS} too", "settings": {"kind": "morning_digest"}}),
        (
            "silence_id",
            f"{place}/silences",
            {"match": {"severities": ["info"]}, "reason": WORDS, "ends_at": tomorrow},
        ),
        (
            "channel_id",
            f"{place}/channels",
            {"name": WORDS, "kind": "pagerduty", "secret": "a" * 32},
        ),
    ):
        answer = await _as(site, "tracker", "admin", "POST", path, body)
        assert answer.status_code == 201, answer.text
        made[name] = answer.json()[name]
    routing = {"route": {"name": WORDS, "channels": [made["channel_id"]]}}
    routed = await _as(site, "tracker", "admin", "PUT", f"{place}/routes", {"routing": routing})
    assert routed.status_code == 200, routed.text
    tested = await _as(site, "tracker", "admin", "POST", f"{place}/channels/{made['channel_id']}/test")
    assert tested.is_success, tested.text
    return made | {"notification_id": tested.json()["notification_id"]}


async def _as(
    site: Walled, service: str, role: str, method: str, path: str, body: Any = None
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {site.keys['A'][role]}"}
    return await site.clients[service].request(method, path, json=body, headers=headers)


def nobodys(its: Mapping[str, str]) -> dict[str, str]:
    """Ids of the same form that are nobody's."""
    return {
        name: str(uuid4())
        if _is_uuid(value)
        else "f" * 64
        if len(value) == 64
        else "7"
        if value.isdigit()
        else f"no{value}"[::-1]
        for name, value in its.items()
    } | {"organization_id": its["organization_id"]}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def test_every_route_stands_in_a_table_here():
    for service, doors in DOORS.items():
        for route in doors:
            tables = [
                "{" in route,
                route in LISTS[service],
                route in AIMED,
                route in STREAMS,
                route in OF_THE_CALLER,
                (service, route) in NOT_PARKED_HERE,
            ]
            assert sum(tables) == 1, (service, route)


async def test_an_id_of_another_organization_answers_as_one_that_nobody_has(site: Walled):
    nobody = nobodys(site.its)
    for service, doors in DOORS.items():
        for route in doors:
            if "{" in route or route in AIMED:
                for role in site.roles(service, route):
                    theirs = await site.ask(service, route, "B", role, site.its)
                    unknown = await site.ask(service, route, "B", role, nobody)
                    where = (service, route, role, theirs.text)
                    assert plain(theirs, site.its) == plain(unknown, nobody), where
                    assert theirs.headers.keys() == unknown.headers.keys(), where
                    assert not [
                        mark for mark in MARKS if mark in theirs.text and mark not in site.its.values()
                    ], where


async def test_each_id_is_one_that_its_own_organization_finds(site: Walled):
    """Or the test above would ask for nothing."""
    for service, doors in DOORS.items():
        for route, roles in doors.items():
            if route.startswith("GET") and "{" in route and not route.endswith("/acknowledgment"):
                role = "admin" if "admin" in (roles or ()) and "/remittances/" not in route else "submitter"
                answer = await site.ask(service, route, "A", role, site.its)
                assert answer.status_code == 200, (service, route, answer.text)


async def test_no_list_of_one_organization_changes_because_another_has_something(site: Walled):
    after = await site.lists()
    for where, (status, text) in after.items():
        assert status == 200, (where, text)
        assert not [mark for mark in (*MARKS, *site.its.values()) if len(mark) > 2 and mark in text], (
            where,
            text,
        )
        assert (status, text) == site.before[where], where


async def test_each_list_shows_its_own_organization_what_it_has(site: Walled):
    """Or the test above would look at lists that are always empty."""
    for service, found in LISTS.items():
        for route in found:
            role = "admin" if "admin" in (DOORS[service][route] or ()) else "submitter"
            own = plain(await site.ask(service, route, "A", role, site.its))
            assert own != site.before[(service, route, role)], (service, route, role, own)


async def test_the_stream_of_one_organization_tells_nothing_of_another(
    site: Walled, monkeypatch: pytest.MonkeyPatch
):
    def once() -> Any:
        left = [True]

        async def may_still(*_: object) -> bool:
            return bool(left and left.pop())

        return may_still

    heard = {}
    for whose in ("A", "B"):
        monkeypatch.setattr(stream, "is_still", once())
        monkeypatch.setattr(stream, "last_place", _from_the_beginning)
        monkeypatch.setattr(stream, "LOOK_SECONDS", 0)
        answer = await site.ask("tracker", "GET /v1/events/stream", whose, "viewer", site.its)
        heard[whose] = answer.text
    assert site.its["case_id"] in heard["A"]
    assert "data:" not in heard["B"]


async def _from_the_beginning(*_: object, **__: object) -> stream.Place:
    return stream.Place()


async def test_operators_and_submitters_see_no_patient_and_no_claim(site: Walled):
    facts = (*PATIENT, *CLAIMS, WORDS)
    for role in ("operator", "submitter"):
        for service, doors in DOORS.items():
            for route, roles in doors.items():
                if route.startswith("GET") and route not in STREAMS and role in (roles or ()):
                    answer = await site.ask(service, route, "A", role, site.its)
                    assert not [fact for fact in facts if fact in answer.text], (service, route, role)


async def test_nothing_that_was_sent_wrongly_comes_back_or_goes_into_a_log(
    site: Walled, capsys: pytest.CaptureFixture[str]
):
    configure_logging("test")
    headers = {"If-Match": PLANTED, "Last-Event-ID": PLANTED, "Prefer": PLANTED, "Accept": PLANTED}
    for service, doors in DOORS.items():
        described = site.apps[service].openapi()["paths"]
        for route, roles in doors.items():
            method, _, path = route.partition(" ")
            queries = [
                one["name"]
                for one in described[path][method.lower()].get("parameters", ())
                if one["in"] == "query"
            ]
            role = min(set(roles or PEOPLE) - {"operator"} or {"operator"})
            for its, params, body in (
                (dict.fromkeys(site.its, PLANTED), {}, BODIES.get(route)),
                (site.its, dict.fromkeys(queries, PLANTED) | {f"{PLANTED} X": PLANTED}, BODIES.get(route)),
                (site.its, {}, {f"{PLANTED} X": PLANTED} | dict.fromkeys(BODIES.get(route) or {}, PLANTED)),
                (site.its, {}, [PLANTED]),
            ):
                if "{" not in route and its is not site.its:
                    continue
                answer = await site.clients[service].request(
                    method,
                    re.sub(r"\{(\w+)\}", lambda found, its=its: its[found[1]], path),
                    params=params,
                    json=body if method != "GET" else None,
                    headers={"Authorization": f"Bearer {site.keys['A'][role]}"} | headers,
                )
                assert answer.status_code < 500, (service, route, answer.text)
                if answer.status_code >= 400:
                    assert PLANTED not in answer.text + str(answer.headers), (service, route, answer.text)
    logged = capsys.readouterr().err
    assert "request_served" in logged
    assert not [word for word in (PLANTED, *PATIENT, *CLAIMS, WORDS, FILE_NAME) if word in logged]
