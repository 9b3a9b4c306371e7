"""One pass over everything, and as many as it takes until nothing is on its way."""

import time
from collections.abc import Callable

from services.reconcile.files import judge_file
from services.reconcile.joining import mark_latest
from services.reconcile.repairing import Repaired, Repairs
from services.reconcile.streams import Scope, Sources
from services.reconcile.tally import Comparison
from services.reconcile.verdicts import judge
from shared.clock import now
from shared.errors import DeniedError, NotFoundError

POLL_SECONDS = 1.0


def compare(sources: Sources, scope: Scope, *, repairs: Repairs | None = None) -> Comparison:
    """
    Compare what the three services hold, once. With `repairs`, ask for what is absent as it is found.

    Raises NotFoundError when the scope names a remittance that ingest does not have.
    """
    comparison = Comparison()
    started_at = now()
    if scope.remittance_id is None:  # first: what a file turns into while we look must be seen below
        _add_receipts(comparison, sources, scope)
    for line in sources.remittances(scope):
        comparison.add_remittance(line)
    if scope.remittance_id is not None and not comparison.tallies:
        raise NotFoundError(
            f"ingest has no remittance {scope.remittance_id}.", remedy="`reprieve reconcile` lists them."
        )
    for joined, latest in mark_latest(sources.events(scope)):
        event = joined.event
        if event is not None and event.created_at is not None and event.created_at > started_at:
            continue  # it came after this pass began: an installation at work is never at rest
        finding = judge(joined, at=now())
        comparison.add_event(joined, finding, latest=latest)
        if repairs is not None and finding is not None:
            repairs.consider(finding)
    return comparison


def _add_receipts(comparison: Comparison, sources: Sources, scope: Scope) -> None:
    try:
        for line in sources.receipts(scope):
            comparison.add_receipt(line, judge_file(line, at=now()))
    except DeniedError:  # files belong to submitters: the key of an organization does not see them
        comparison.files_hidden = True


def compare_until_quiet(
    sources: Sources,
    scope: Scope,
    *,
    wait_seconds: float,
    repair: bool = False,
    tell: Callable[[Comparison, float], None] = lambda _comparison, _seconds: None,
) -> tuple[Comparison, Repaired]:
    """
    Compare until nothing is on its way or `wait_seconds` have passed.

    Gives the last pass and what was sent again, which happens once. The streams are read while the
    installation works, so a difference counts when two passes in a row see one.
    `tell` hears of each pass that finds something on its way, and how many seconds are left.
    """
    deadline = time.monotonic() + wait_seconds
    repaired: Repaired | None = None
    seen_before = False
    while True:
        comparison = compare(sources, scope)
        left = deadline - time.monotonic()
        differs, seen_before = comparison.differs() and not seen_before, comparison.differs()
        if not differs and repair and repaired is None and comparison.repairable():
            repaired = _repair(sources, scope)
            deadline = time.monotonic() + wait_seconds
        elif not differs and not (comparison.moving() and left > 0):
            return comparison, repaired or Repaired()
        elif comparison.moving():
            tell(comparison, left)
        time.sleep(POLL_SECONDS)


def _repair(sources: Sources, scope: Scope) -> Repaired:
    """Pass once more and have all that is absent sent again."""
    with Repairs(sources) as repairs:
        compare(sources, scope, repairs=repairs)
    return repairs.outcome
