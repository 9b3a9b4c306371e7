"""
Whatever opens what is sealed has its audit row committed before: names, raw bytes, files; in lists and in streams.

A route that opens something and stands in no table here fails, as does one that takes `reveal`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from shared.postgres import create_engine, rows, transaction
from shared.security.sealing import Sealer
from shared.storage.vault import Vault
from tests.http.test_doors import DOORS
from tests.http.test_walls import PATIENT, STREAMS, WORDS, Walled, site  # noqa: F401  a fixture
from tests.support.database import Database


class Opening(NamedTuple):
    """A request that opens something, as whom, what the audit log says of it, and what is seen then."""

    service: str
    route: str
    role: str
    action: str
    seen: str
    asked: Mapping[str, Any] = MappingProxyType({})


REVEAL = {"params": {"reveal": "true"}}
OPENINGS = [
    Opening("ingest", "GET /v1/quarantine/{quarantine_id}", "viewer", "quarantine_opened", "CLP"),
    Opening("tracker", "GET /v1/cases/{case_id}", "biller", "identifiers_opened", PATIENT[2], REVEAL),
    Opening("tracker", "GET /v1/cases.csv", "biller", "identifiers_opened", PATIENT[2], REVEAL),
    Opening("tracker", "GET /v1/cases.xlsx", "biller", "identifiers_opened", "", REVEAL),
    Opening("tracker", "GET /v1/cases/{case_id}/files", "biller", "identifiers_opened", "walledfile", REVEAL),
    Opening("tracker", "GET /v1/cases/{case_id}/files/{file_id}/content", "biller", "file_opened", WORDS),
]
LOOKS = [
    Opening(
        "tracker",
        "POST /v1/cases/search",
        "biller",
        "patient_searched",
        "WALLED",
        {"json": {"member_id": PATIENT[2]}},
    ),
]
"""They open nothing, but tell whether a patient is there: audited all the same."""

SHOW_NO_PERSON = {"GET /v1/remittances/{remittance_id}", "GET /v1/remittances/{receipt_id}"}
"""Read claim numbers, which are not sealed, where they stand in the raw file."""


class Watch:
    """Notes, at each opening, how many audit rows of each action somebody else could see then."""

    def __init__(self, committed: Callable[[], dict[str, int]]) -> None:
        self.committed = committed
        self.seen: list[dict[str, int]] = []

    def note(self) -> None:
        self.seen.append(self.committed())


@pytest.fixture
def watch(
    site: Walled,  # noqa: F811
    shared_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Watch]:
    with ThreadPoolExecutor(1) as thread:

        def committed() -> dict[str, int]:
            """Count over a connection of its own: only what is committed is there."""
            return thread.submit(lambda: asyncio.run(_count(shared_database, site.its))).result()

        watch = Watch(committed)
        for owner, name in ((Sealer, "open"), (Vault, "open")):
            monkeypatch.setattr(owner, name, _noted(getattr(owner, name), watch))
        yield watch


def _noted(real: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    def noted(*given: Any, **named: Any) -> Any:
        watch.note()
        return real(*given, **named)

    return noted


async def _count(database: Database, its: dict[str, str]) -> dict[str, int]:
    engine = create_engine(database.owner, name="test")
    try:
        async with transaction(engine, organizations=[its["organization_id"]]) as connection:
            found = await rows(
                connection,
                "select action, count(*) as entries from (select action from ingest.audit_log"
                " union all select action from tracker.audit_log) as logs group by action",
            )
    finally:
        await engine.dispose()
    return {row.action: row.entries for row in found}


@pytest.mark.parametrize("opening", OPENINGS, ids=lambda one: one.route)
async def test_what_is_opened_is_in_the_audit_log_before(site: Walled, watch: Watch, opening: Opening):  # noqa: F811
    before = watch.committed().get(opening.action, 0)

    answer = await site.ask(opening.service, opening.route, "A", opening.role, site.its, **opening.asked)

    assert answer.status_code == 200, answer.text
    assert opening.seen in answer.text
    assert watch.seen, "nothing was opened: the table is wrong"
    assert all(seen.get(opening.action, 0) > before for seen in watch.seen)
    persons = len(watch.seen) if "cases." in opening.route else 1  # an export has an entry for each case
    assert watch.committed()[opening.action] == before + persons


@pytest.mark.parametrize("look", LOOKS, ids=lambda one: one.route)
async def test_who_looks_for_a_patient_is_in_the_audit_log(site: Walled, watch: Watch, look: Opening):  # noqa: F811
    before = watch.committed().get(look.action, 0)

    answer = await site.ask(look.service, look.route, "A", look.role, site.its, **look.asked)

    assert look.seen in answer.text
    assert watch.committed()[look.action] == before + 1


async def test_a_refused_opening_opens_nothing(site: Walled, watch: Watch):  # noqa: F811
    for opening in OPENINGS:
        for role in ("viewer", "auditor"):
            if role != opening.role and opening.service == "tracker":
                answer = await site.ask(opening.service, opening.route, "A", role, site.its, **opening.asked)
                assert answer.status_code == 403, (opening.route, role)
    assert watch.seen == []


async def test_no_other_route_opens_anything(site: Walled, watch: Watch):  # noqa: F811
    tables = {opening.route for opening in OPENINGS} | SHOW_NO_PERSON | STREAMS
    for service, doors in DOORS.items():
        for route, roles in doors.items():
            if route.startswith("GET") and (route not in tables or "{case_id}" in route):
                if "file_id" in route:
                    continue
                role = "admin" if "admin" in (roles or ()) else "submitter"
                await site.ask(service, route, "A", role, site.its)
                assert watch.seen == [], (service, route)


def test_every_route_that_reveals_stands_in_the_table(site: Walled):  # noqa: F811
    revealing = {
        f"{method.upper()} {path}"
        for app in site.apps.values()
        for path, methods in app.openapi()["paths"].items()
        for method, one in methods.items()
        if any(parameter["name"] == "reveal" for parameter in one.get("parameters", ()))
    }

    assert revealing
    assert revealing <= {opening.route for opening in OPENINGS}
