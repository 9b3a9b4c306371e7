"""Codes that no published list has: read all the same, and told to who runs the installation."""

import re
from typing import Literal

from services.triage.domain.codes import carc_status, rarc_status
from shared.contracts.claim import ClaimObserved

CodeList = Literal["group", "carc", "rarc"]

GROUPS = frozenset(("CO", "PR", "OA", "PI", "CR"))
"""CAS01. CR, correction and reversal, is of 004010; 005010 has the other four."""

_LIKE_A_CODE = re.compile(r"[A-Z]{0,3}\d{1,4}[A-Z]?|[A-Z]{1,2}")
STRANGE = "strange"
"""Stands for what does not look like a code: it may be anything that slipped into the wrong element."""


def unknown_codes(*events: ClaimObserved) -> set[tuple[CodeList, str]]:
    """Give list and code of what the events' adjustments and HE remarks say and no list has."""
    lines = [line for event in events for line in event.lines]
    adjustments = [one for event in events for one in event.adjustments]
    adjustments += [one for line in lines for one in line.adjustments]
    remarks = [one for event in events for one in event.remarks]
    remarks += [one for line in lines for one in line.remarks]
    groups = {one.group for one in adjustments} - GROUPS
    reasons = {one.reason for one in adjustments}
    codes = {one.code for one in remarks if one.code_list == "HE"}
    return {
        *(("group", _shown(one)) for one in groups),
        *(("carc", _shown(one)) for one in reasons if one and carc_status(one) == "unknown"),
        *(("rarc", _shown(one)) for one in codes if rarc_status(one) == "unknown"),
    }


def _shown(code: str) -> str:
    return code if _LIKE_A_CODE.fullmatch(code) else STRANGE
