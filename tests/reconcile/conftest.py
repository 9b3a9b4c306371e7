"""Three small HTTP servers that answer as ingest, triage and tracker would, and the commands that ask them."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from services.reconcile import comparing, dlq, reconcile

ORGANIZATION = UUID(int=1)
KEY = "rpv_invented"


@dataclass
class FakeService:
    """
    Answers GETs with lines and POSTs with `made_due`; remembers what it was asked.

    Of what is to be made due, `purged` messages cannot be. An entry of `answers` is what a path answers, or makes that of the query.
    """

    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    on_post: Callable[[], None] = lambda: None
    purged: int = 0
    broken_off: bool = False
    denied: frozenset[str] = frozenset()
    url: str = ""


@dataclass
class FakeStack:
    ingest: FakeService = field(default_factory=FakeService)
    triage: FakeService = field(default_factory=FakeService)
    tracker: FakeService = field(default_factory=FakeService)

    def add_event(
        self,
        *,
        remittance: UUID | None = None,
        state: str = "settled",
        decided: str | None = "settled",
        recorded: bool = True,
        age: timedelta = timedelta(seconds=1),
        denied: str = "100.00",
        parked_reason: str | None = None,
        **amounts: dict[str, str],
    ) -> UUID:
        """One event at all three services, as far as `decided` and `recorded` let it come."""
        event_id = uuid4()
        same = {
            "organization_id": str(ORGANIZATION),
            "event_id": str(event_id),
            "revision": 1,
            "charge_amount": "250.00",
            "denied_amount": denied,
        }
        at = (datetime.now(UTC) - age).isoformat()
        event = same | {
            "remittance_id": str(remittance or self.remittance_id),
            "state": state,
            "parked_reason": parked_reason,
            "created_at": at,
        }
        self._add(self.ingest, "events", event)
        if decided:
            decision = same | {
                "decisions": 1,
                "latest_decision_id": str(uuid4()),
                "latest_decision_revision": 1,
                "state": decided,
                "parked_reason": parked_reason,
                "decided_at": at,
            }
            self._add(self.triage, "decisions", decision | amounts.get("triage", {}))
        if recorded:
            self._add(self.tracker, "ledger", same | {"decision_revision": 1} | amounts.get("tracker", {}))
        return event_id

    remittance_id: UUID = field(default_factory=uuid4)

    def add_remittance(self, **changes: Any) -> None:
        """The remittance of the events so far, with two further claims that needed no event."""
        events = self.ingest.lines.get("events", [])
        denied = sum(round(float(event["denied_amount"]) * 100) for event in events)
        self._add(
            self.ingest,
            "remittances",
            {
                "organization_id": str(ORGANIZATION),
                "remittance_id": str(self.remittance_id),
                "receipt_id": str(uuid4()),
                "claims_read": len(events) + 2,
                "charge_read_amount": f"{len(events) * 250 + 80}.00",
                "evented": len(events),
                "evented_charge_amount": f"{len(events) * 250}.00",
                "no_event": 1,
                "no_event_charge_amount": "50.00",
                "duplicates": 1,
                "duplicate_charge_amount": "30.00",
                "quarantined": 0,
                "quarantined_charge_amount": "0",
                "denied_amount": f"{denied // 100}.{denied % 100:02}",
                "released": True,
            }
            | changes,
        )

    def add_receipt(self, *, age: timedelta = timedelta(seconds=1), **changes: Any) -> str:
        """A file that ingest did not finish, or of which it holds sets; gives its id."""
        receipt_id = str(uuid4())
        line = {
            "receipt_id": receipt_id,
            "submitter_id": str(uuid4()),
            "status": "processed",
            "refused_reason": None,
            "held_sets": 0,
            "held_claims": 0,
            "held_charge_amount": "0",
            "received_at": (datetime.now(UTC) - age).isoformat(),
        }
        self.ingest.lines.setdefault("receipts", []).append(line | changes)
        return receipt_id

    @staticmethod
    def _add(service: FakeService, what: str, line: dict[str, Any]) -> None:
        lines = service.lines.setdefault(what, [])
        lines.append(line)
        lines.sort(key=lambda one: (one["organization_id"], one.get("event_id", ""), one.get("revision", 0)))


def _handler(service: FakeService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            service.asked.append((self.path, None))
            path, _, query = self.path.partition("?")
            if path in service.answers:
                answer = service.answers[path]
                known = answer(parse_qs(query)) if callable(answer) else answer
                self._answer(json.dumps(known).encode())
                return
            lines = service.lines.get(path.removeprefix("/v1/reconciliation/"), [])
            self._answer(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.asked.append((self.path, body))
            service.on_post()
            self._answer(
                json.dumps(
                    {"made_due": len(body["items"]) - service.purged if "items" in body else 7}
                ).encode()
            )

        def _answer(self, body: bytes) -> None:
            authorized = self.headers["Authorization"] == f"Bearer {KEY}"
            denied = self.path.partition("?")[0] in service.denied
            body = b"" if denied else body
            self.send_response(403 if denied else 200 if authorized else 401)
            self.send_header("Content-Length", str(len(body) + (10 if service.broken_off else 0)))
            self.end_headers()
            self.wfile.write(body if authorized else b"")
            self.close_connection = service.broken_off

        def log_message(self, *_: object) -> None: ...

    return Handler


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStack]:
    fake = FakeStack()
    servers = []
    for name in ("ingest", "triage", "tracker"):
        service: FakeService = getattr(fake, name)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        service.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv(f"REPRIEVE_{name.upper()}_URL", service.url)
    monkeypatch.setenv("REPRIEVE_API_KEY", KEY)
    monkeypatch.setattr(comparing, "POLL_SECONDS", 0.02)
    yield fake
    for server in servers:
        server.shutdown()
        server.server_close()


def run(*arguments: str) -> Result:
    """Run `reprieve ARGUMENTS` as the command line would, on lines so long that no sentence is broken."""
    app = typer.Typer()
    app.command("reconcile")(reconcile)
    app.add_typer(dlq, name="dlq")
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
