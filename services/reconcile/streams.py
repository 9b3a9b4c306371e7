"""The services' answers to a reconciliation, read line by line as they arrive."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self, TypeVar
from uuid import UUID

import httpx2
import msgspec

from services.reconcile.joining import Joined, join
from services.reconcile.lines import DecisionLine, EventLine, LedgerLine, ReceiptLine, RemittanceLine
from shared.errors import UnavailableError, UnreadableError
from shared.http.client import SERVICES, ServiceName, Stack, raise_for_problem

ROLE = "operator"

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared: everything, one remittance, or what ingest received on `since` or later."""

    remittance_id: UUID | None = None
    since: date | None = None

    @property
    def is_all(self) -> bool:
        return self.remittance_id is None and self.since is None

    def at_ingest(self) -> dict[str, str]:
        """The query for ingest, which knows remittances and when they came."""
        query = {"remittance_id": self.remittance_id, "since": self.since}
        return {name: str(value) for name, value in query.items() if value is not None}

    def downstream(self) -> dict[str, str]:
        """The query for triage and tracker: no narrower than ingest's, whatever the clocks and time zones."""
        return {} if self.since is None else {"since": str(self.since - timedelta(days=1))}


class Sources:
    """The three services' reconciliation answers. Close it after use."""

    def __init__(self, stack: Stack) -> None:
        self._open = ExitStack()
        self._clients: dict[ServiceName, httpx2.Client] = {
            service: self._open.enter_context(stack.client(service, ROLE)) for service in SERVICES
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def receipts(self, scope: Scope) -> Iterator[ReceiptLine]:
        """Give the files that ingest did not finish, in no particular order."""
        return self._lines("ingest", "receipts", scope.at_ingest(), ReceiptLine)

    def remittances(self, scope: Scope) -> Iterator[RemittanceLine]:
        """Give what ingest read of each remittance, in no particular order."""
        return self._lines("ingest", "remittances", scope.at_ingest(), RemittanceLine)

    def events(self, scope: Scope) -> Iterator[Joined]:
        """Give every event beside its decision and its ledger entry."""
        joined = join(
            self._lines("ingest", "events", scope.at_ingest(), EventLine),
            self._lines("triage", "decisions", scope.downstream(), DecisionLine),
            self._lines("tracker", "ledger", scope.downstream(), LedgerLine),
        )
        return joined if scope.is_all else (one for one in joined if one.event is not None)

    def repair(self, service: ServiceName, items: list[dict[str, object]]) -> int:
        """Ask a producer to send messages again; gives the number that it knew."""
        answer = self._clients[service].post(
            "/v1/reconciliation/repair",
            content=msgspec.json.encode({"items": items}),
            headers={"Content-Type": "application/json"},
        )
        return msgspec.json.decode(raise_for_problem(answer).content, type=_MadeDue).made_due

    def _lines(self, service: ServiceName, what: str, query: dict[str, str], as_type: type[S]) -> Iterator[S]:
        decode = msgspec.json.Decoder(as_type).decode
        with (
            _told_by(service),
            self._clients[service].stream("GET", f"/v1/reconciliation/{what}", params=query) as answer,
        ):
            for line in raise_for_problem(answer).iter_lines():
                if line:
                    yield decode(line)


class _MadeDue(msgspec.Struct):
    made_due: int


@contextmanager
def _told_by(service: ServiceName) -> Iterator[None]:
    """Name the service in what goes wrong while its answer is read."""
    try:
        yield
    except httpx2.HTTPError as error:
        raise UnavailableError(
            f"{service} broke off its answer.", remedy="Look at its log, then run `reprieve reconcile` again."
        ) from error
    except msgspec.MsgspecError as error:
        raise UnreadableError(
            f"{service} answered a line that cannot be read.",
            remedy="Do the services and this command have the same version?",
        ) from error
