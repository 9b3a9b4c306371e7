"""A verdict in words: what the JSON of an acknowledgment and `reprieve validate --ack` show."""

from typing import Any

from services.ingest.acknowledgments import codes
from services.ingest.acknowledgments.verdicts import (
    ElementError,
    GroupVerdict,
    InterchangeVerdict,
    SegmentError,
    SetVerdict,
)


def explained(interchange: InterchangeVerdict) -> dict[str, Any]:
    """Give an interchange's verdict, each code with its meaning."""
    return {
        "control_number": interchange.control_number,
        "sender": interchange.sender,
        "receiver": interchange.receiver,
        "code": interchange.code,
        "note": _with_meaning(interchange.note, codes.INTERCHANGE_NOTES),
        "groups": [_group(group) for group in interchange.groups],
    }


def _group(group: GroupVerdict) -> dict[str, Any]:
    return {
        "functional_id": group.functional_id,
        "control_number": group.control_number,
        "version": group.version,
        "code": group.code,
        "meaning": codes.ACKNOWLEDGED[group.code],
        "sets_included": group.included,
        "sets_received": group.received,
        "sets_accepted": group.accepted,
        "errors": [_with_meaning(code, codes.GROUP_ERRORS) for code in group.syntax_codes],
        "sets": [_set(one) for one in group.sets],
    }


def _set(one: SetVerdict) -> dict[str, Any]:
    return {
        "set_id": one.set_id,
        "control_number": one.control_number,
        "code": one.code,
        "meaning": codes.ACKNOWLEDGED[one.code],
        "checked": one.checked,
        "errors": [_with_meaning(code, codes.SET_ERRORS) for code in one.syntax_codes],
        "segments": [_segment(error) for error in one.errors],
    }


def _segment(error: SegmentError) -> dict[str, Any]:
    return {
        "segment_id": error.segment_id,
        "position": error.position,
        "segment_number": error.segment_number,
        "loop": error.loop,
        **_with_meaning(error.code, codes.SEGMENT_ERRORS),
        "elements": [_element(element) for element in error.elements],
    }


def _element(element: ElementError) -> dict[str, Any]:
    return {
        "position": element.position,
        "component": element.component,
        "repetition": element.repetition,
        "reference": element.reference,
        "trigger": element.trigger,
        **_with_meaning(element.code, codes.ELEMENT_ERRORS),
    }


def _with_meaning(code: str, meanings: dict[str, str]) -> dict[str, str]:
    return {"code": code, "meaning": meanings[code]}
