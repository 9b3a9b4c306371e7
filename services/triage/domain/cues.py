"""What remarks on the remittance say about the ways left: appeal times, no appeal rights, reversals."""

from collections.abc import Iterator
from functools import lru_cache

from services.triage.domain.anchors import Start
from services.triage.domain.calendars import Calendar, ClosedDays
from services.triage.domain.windows import Span, Window, end_of
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Clock

APPEAL_DAYS = {"MA01": 120, "MA02": 180}
"""Alerts that state the payer's appeal time in calendar days."""

NO_APPEAL = {
    "MA130": "remark MA130: the claim was unprocessable, there is no appeal, a new claim is needed",
    "N921": "remark N921: the payer says that the appeal limit has passed",
}

CUES = {
    "MA01": "remark MA01: an appeal is possible within 120 days",
    "MA02": "remark MA02: an appeal is possible within 180 days",
    "N1": "remark N1: appeals go by the contract",
    "N187": "remark N187: a review may be asked for under the contract",
    "N202": "remark N202: an explanation was sent separately; find the letter",
    "N421": "remark N421: a review organization adjusted the claim afterwards",
    "N687": "remark N687: reversed because coverage was ended retroactively",
    "N688": "remark N688: reversed after a medical or utilization review",
    **NO_APPEAL,
}
"""Remarks that inform about ways and history. They never decide what a denial means."""


_NONE: frozenset[str] = frozenset()


def telling_remarks(event: ClaimDenied) -> frozenset[str]:
    """Give those of a remittance's remarks, claim or line, that say something about ways and history."""
    told = [remark.code for remark in event.remarks if remark.code in CUES and remark.code_list == "HE"]
    for line in event.lines:
        if line.remarks:
            told += [r.code for r in line.remarks if r.code in CUES and r.code_list == "HE"]
    return frozenset(told) if told else _NONE


def cues_of(remarks: frozenset[str]) -> list[str]:
    """List in words what the remarks say about ways and history."""
    return [words for code, words in CUES.items() if code in remarks]


def appeal_cues(start: Start, calendar: Calendar, remarks: frozenset[str], *, zone: str) -> Iterator[Clock]:
    """Give the appeal clocks that the payer itself announces on the remittance; `start` is its date."""
    for code, days in APPEAL_DAYS.items():
        if code not in remarks:
            continue
        forbidden = tuple(words for other, words in NO_APPEAL.items() if other in remarks)
        end = None if start.latest is None else end_of(_window(days, zone), start.latest, calendar)
        exact = start.exact is not None
        yield Clock(
            kind="appeal_level_1",
            permitted=not forbidden,
            policy_id=f"remark-{code.lower()}",
            policy_version="835",
            policy_status="unconfirmed",
            zone=zone,
            label=f"Appeal within {days} days, as remark {code} announces",
            deadline_at=end.at if end and exact else None,
            latest=end.at if end and not exact else None,
            anchor="remit_date",
            anchor_date=start.exact,
            anchor_source=start.source,
            steps=() if end is None else (f"counted from {start.source}", *end.steps),
            reasons=forbidden,
            missing_facts=() if start.missing is None else (start.missing,),
        )


@lru_cache(maxsize=64)
def _window(days: int, zone: str) -> Window:
    """Make each window once: ends are remembered by the window's identity."""
    return Window(span=Span(amount=days, unit="calendar_days"), zone=zone, kept=ClosedDays())
