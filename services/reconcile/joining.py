"""Three ordered streams side by side, holding one line of each: memory does not grow with claims."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.reconcile.lines import DecisionLine, EventLine, Key, LedgerLine, Line
from shared.errors import UnreadableError

L = TypeVar("L", bound=Line)


@dataclass(frozen=True, slots=True)
class Joined:
    """One event as each service knows it; None where a service does not."""

    key: Key
    event: EventLine | None
    decision: DecisionLine | None
    ledger: LedgerLine | None


def join(
    events: Iterable[EventLine], decisions: Iterable[DecisionLine], ledger: Iterable[LedgerLine]
) -> Iterator[Joined]:
    """Join on the key. Raises UnreadableError for a stream that is out of order or repeats a key."""
    ingest, triage, tracker = _Head(events, "ingest"), _Head(decisions, "triage"), _Head(ledger, "tracker")
    while True:
        ahead = [line.key for line in (ingest.line, triage.line, tracker.line) if line is not None]
        if not ahead:
            return
        key = min(ahead)
        yield Joined(key, ingest.take(key), triage.take(key), tracker.take(key))


def mark_latest(joined: Iterable[Joined]) -> Iterator[tuple[Joined, bool]]:
    """Say of each whether it is the highest revision of its event; lower ones are superseded."""
    previous: Joined | None = None
    for one in joined:
        if previous is not None:
            yield previous, previous.key[:2] != one.key[:2]
        previous = one
    if previous is not None:
        yield previous, True


class _Head(Generic[L]):
    """The next line of a stream that is read in order."""

    def __init__(self, lines: Iterable[L], service: str) -> None:
        self._lines = iter(lines)
        self._service = service
        self.line = next(self._lines, None)

    def take(self, key: Key) -> L | None:
        """Give the line if it is the one of `key`, and move on."""
        line = self.line
        if line is None or line.key != key:
            return None
        self.line = next(self._lines, None)
        if self.line is not None and self.line.key <= key:
            raise UnreadableError(
                f"{self._service} answered out of order at event {self.line.event_id}.",
                remedy=f"This is a defect of {self._service}; report it with this line.",
            )
        return line
