"""
What the codes of TA1, 999 and 997 mean. Sources: X12 data elements I17, I18, 715 to 718, 618, 620, 621.

Only codes that Reprieve can tell are here; what needs keys, security envelopes or a trading partner's profile
is not.
"""

ACKNOWLEDGED = {
    "A": "Accepted.",
    "E": "Accepted, but errors were noted.",
    "P": "Partially accepted: at least one transaction set was rejected.",
    "R": "Rejected.",
}
"""TA104, AK901 and IK501."""

INTERCHANGE_NOTES = {
    "000": "No error.",
    "001": "The control numbers of ISA and IEA do not match (ISA13, IEA02).",
    "003": "This version of the controls is not supported (ISA12).",
    "006": "The sender's id is missing (ISA06).",
    "008": "The receiver's id is missing (ISA08).",
    "014": "The interchange date is invalid (ISA09).",
    "015": "The interchange time is invalid (ISA10).",
    "017": "The version id is invalid (ISA12).",
    "018": "The control number is invalid (ISA13).",
    "019": "The acknowledgment request is invalid (ISA14).",
    "020": "The test indicator is invalid (ISA15).",
    "021": "The number of included groups is wrong (IEA01).",
    "022": "The control structure is invalid: a transaction set stands outside a group.",
    "023": "The interchange ends too early: it has no IEA.",
    "024": "The interchange's content is invalid: it holds no readable group.",
    "025": "The control number was used before in this file (ISA13).",
}
"""TA105."""

GROUP_ERRORS = {
    "1": "The functional group is not supported (GS01).",
    "2": "The functional group's version is not supported (GS08).",
    "3": "The functional group has no trailer (GE).",
    "4": "The control numbers of GS and GE do not agree (GS06, GE02).",
    "5": "The number of transaction sets is wrong (GE01).",
    "6": "The group's control number violates syntax (GS06).",
    "19": "The group's control number was used before in this interchange (GS06).",
}
"""AK905 to AK909."""

SET_ERRORS = {
    "1": "The transaction set is not supported (ST01).",
    "2": "The transaction set has no trailer (SE).",
    "3": "The control numbers of ST and SE do not match (ST02, SE02).",
    "4": "The number of segments is wrong (SE01).",
    "5": "One or more segments are in error.",
    "6": "The transaction set's id is missing or invalid (ST01).",
    "7": "The transaction set's control number is missing or invalid (ST02).",
    "23": "The transaction set's control number was used before in this group (ST02).",
    "I5": "One or more segments are in error by the implementation guide.",
}
"""IK502 to IK506."""

SEGMENT_ERRORS = {
    "1": "The segment is unrecognized.",
    "2": "The segment is unexpected here.",
    "3": "A required segment is missing before this place.",
    "4": "The loop occurs too often.",
    "5": "The segment occurs too often.",
    "6": "The transaction set has no such segment.",
    "8": "The segment has element errors.",
    "I4": "The implementation guide does not use this segment here.",
}
"""IK304."""

ELEMENT_ERRORS = {
    "1": "A required element is missing.",
    "2": "An element that another one requires is missing.",
    "3": "There are too many elements.",
    "4": "The element is too short.",
    "5": "The element is too long.",
    "6": "The element has an invalid character.",
    "7": "The code is not one of those allowed.",
    "8": "The date is invalid.",
    "9": "The time is invalid.",
    "10": "Elements that exclude each other are both there.",
    "12": "The element is repeated too often.",
    "13": "The composite has too many components.",
    "I10": "The implementation guide does not use this element.",
}
"""IK403."""

IN_997 = {"12": "3", "13": "3", "I10": "3", "I4": "2", "I5": "5"}
"""The 997 of 004010 knows no implementation guides: what to say there instead."""

REJECTING = frozenset({"1", "2", "6"})
"""Set errors that reject a set. With any other its claims were read: E, never R."""
