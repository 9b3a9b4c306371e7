"""
Policies over policies: what an organization or the operator published stands over what Reprieve ships.

An upper version replaces lower ones of the same id on its own days of service. A rule for next year leaves
this year's where it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

import msgspec

from services.triage.domain.policy import Policy
from services.triage.domain.policy_file import PolicyFile

_DAY = timedelta(days=1)


def layered(lower: Sequence[Policy], upper: Iterable[Policy]) -> list[Policy]:
    """Lay policies over others, one after the other: on its days the last of an id holds."""
    found = list(lower)
    for policy in upper:
        found = [piece for one in found for piece in _beside(one, policy.file)]
        found.append(policy)
    return found


def covers(upper: PolicyFile, lower: PolicyFile) -> bool:
    """Tell whether nothing is left of the lower policy's days."""
    (since, until), (first, last) = _days(upper), _days(lower)
    return upper.id == lower.id and since <= first and last <= until


def _beside(policy: Policy, upper: PolicyFile) -> Iterator[Policy]:
    """Give what is left of a policy: its days before the upper one's, and those after."""
    if policy.id != upper.id:
        yield policy
        return
    (first, last), (since, until) = _days(policy.file), _days(upper)
    if last < since or until < first:
        yield policy
        return
    if first < since:
        yield _within(policy, policy.file.effective_from, since - _DAY)
    if until < last:
        yield _within(policy, until + _DAY, policy.file.effective_to)


def _days(file: PolicyFile) -> tuple[date, date]:
    return file.effective_from or date.min, file.effective_to or date.max


def _within(policy: Policy, since: date | None, until: date | None) -> Policy:
    return replace(
        policy, file=msgspec.structs.replace(policy.file, effective_from=since, effective_to=until)
    )
