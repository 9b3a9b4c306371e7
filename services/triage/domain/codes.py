"""What the published lists say of a code: is it known, in use, an Alert, in need of a remark?"""

from typing import Literal

from services.triage.domain.code_lists import (
    CARC_CURRENT,
    CARC_DEACTIVATED,
    CARC_GROUPS,
    CARC_REQUIRES_REMARK,
    RARC_ALERT,
    RARC_CURRENT,
    RARC_DEACTIVATED,
)

CodeStatus = Literal["current", "deactivated", "unknown"]


def carc_status(code: str) -> CodeStatus:
    if code in CARC_CURRENT:
        return "current"
    return "deactivated" if code in CARC_DEACTIVATED else "unknown"


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
