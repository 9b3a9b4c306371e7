"""What the published lists say of a code: is it known, in use, an Alert, in need of a remark?"""

from datetime import date
from typing import Literal

from services.triage.domain.code_lists import (
    CARC_CURRENT,
    CARC_DATES,
    CARC_DEACTIVATED,
    CARC_GROUPS,
    CARC_REQUIRES_REMARK,
    RARC_ALERT,
    RARC_CURRENT,
    RARC_DEACTIVATED,
)

CodeStatus = Literal["current", "deactivated", "not_yet", "unknown"]


def carc_status(code: str, on: date | None = None) -> CodeStatus:
    """
    Give a reason code's status today, or on a day: as far as its dates are known.

    A retired code whose last day was not found counts as retired on every day.
    """
    then = None if on is None else carc_status_then(code, on)
    if then is not None:
        return then
    if code in CARC_CURRENT:
        return "current"
    return "deactivated" if code in CARC_DEACTIVATED else "unknown"


def carc_status_then(code: str, on: date) -> CodeStatus | None:
    """Give a reason code's status on a day where it was another than today's; else None."""
    dates = CARC_DATES.get(code)
    if dates is None:
        return None
    start, stop = dates
    if start is not None and on < start:
        return "not_yet"
    return "current" if stop is not None and on < stop else None


def rarc_status(code: str) -> CodeStatus:
    if code in RARC_CURRENT:
        return "current"
    return "deactivated" if code in RARC_DEACTIVATED else "unknown"


def requires_remark(carc: str) -> bool:
    """Tell whether the reason code may not be read without a remark that is no Alert."""
    return carc in CARC_REQUIRES_REMARK


def is_alert(rarc: str) -> bool:
    return rarc in RARC_ALERT


def group_allowed(group: str, carc: str) -> bool:
    """Tell whether the usage notes allow the reason code under this group code."""
    allowed = CARC_GROUPS.get(carc)
    return allowed is None or group in allowed
