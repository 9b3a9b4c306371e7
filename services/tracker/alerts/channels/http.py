"""What an HTTP status means to a delivery, where a vendor says nothing else."""

from collections.abc import Collection

from services.tracker.alerts.domain.outcomes import Delivered, Outcome, Rejected, TryLater
from services.tracker.alerts.network import Answer


def outcome_of(answer: Answer, *, hopeless: Collection[int]) -> Outcome:
    """
    Read a status; those in `hopeless` would be the same next time.

    A redirect is refused: where it leads was judged by nobody.
    """
    status = answer.status
    if 200 <= status < 300:
        return Delivered(status=status)
    if 300 <= status < 400:
        return Rejected(reason="redirect", status=status)
    if status in hopeless:
        return Rejected(reason=f"status_{status}", status=status)
    return TryLater(reason=f"status_{status}", status=status, after_seconds=answer.retry_after_seconds)
