"""
What can be wrong with a remittance: a closed vocabulary of findings.

A finding is a value, never an exception. Its sentence tells what and where, its remedy what to do now.
Neither ever repeats a value from the file: values may be a patient's.
"""

from decimal import Decimal
from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
"""error: something could not be read or does not add up; warning: read with a guess; note: harmless."""


class Rule(msgspec.Struct, frozen=True):
    """One kind of finding: its sentence and its remedy."""

    severity: Severity
    message: str
    remedy: str


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One fault and its place.

    `segment_number` counts every terminated segment of the file from 1; `element` counts from 1 (CLP03 is 3);
    `byte_offset` is the first byte of the segment, from 0. `difference`: by how many dollars
    amounts do not add up, reported minus computed.
    """

    code: str
    message: str
    remedy: str
    severity: Severity
    segment_number: int | None = None
    segment_id: str | None = None
    element: int | None = None
    byte_offset: int | None = None
    difference: Decimal | None = None

    @property
    def place(self) -> str:
        """Say where, for people: "segment 12 (CLP), element 3, byte 834"."""
        parts = []
        if self.segment_number is not None:
            segment_id = f" ({self.segment_id})" if self.segment_id else ""
            parts.append(f"segment {self.segment_number}{segment_id}")
        if self.element is not None:
            parts.append(f"element {self.element}")
        if self.byte_offset is not None:
            parts.append(f"byte {self.byte_offset}")
        return ", ".join(parts)


def finding(
    code: str,
    *,
    segment_number: int | None = None,
    segment_id: str | None = None,
    element: int | None = None,
    byte_offset: int | None = None,
    difference: Decimal | None = None,
) -> Finding:
    """Make a finding of the vocabulary. Raises KeyError for a code that is not in RULES: a defect."""
    rule = RULES[code]
    place = (segment_number, segment_id, element, byte_offset)
    return Finding(code, rule.message, rule.remedy, rule.severity, *place, difference)


CUT_SHORT = frozenset(("set_truncated", "interchange_truncated"))
"""The findings of a file that ends too early: claims, or the end of one, may be missing."""

_RESEND = "Ask the sender for the file as the payer made it."
_ITSELF = "Send the 835 itself: plain text that begins with ISA."
_TELL = "Tell the payer or clearinghouse; the rest is read all the same."

RULES = {
    # The file
    "empty_file": Rule("error", "The file holds no bytes but blanks.", "Send the file again."),
    "zip_archive": Rule(
        "error", "The file is a ZIP archive; nothing in it was read.", "Unzip it. " + _ITSELF
    ),
    "compressed_file": Rule(
        "error",
        "The file is compressed (gzip or Zstandard).",
        "Unpack it, or push it with Content-Encoding: gzip or zstd.",
    ),
    "pdf_document": Rule("error", "The file is a PDF.", _ITSELF),
    "web_page": Rule(
        "error", "The file is a web page (HTML), perhaps of a portal that asks to log in.", _ITSELF
    ),
    "xml_document": Rule("error", "The file is XML.", _ITSELF),
    "json_document": Rule("error", "The file is JSON.", _ITSELF),
    "utf16_text": Rule("error", "The file is text in UTF-16.", "Save it as plain text (ASCII or UTF-8)."),
    "not_x12": Rule(
        "error",
        "The file is not X12: it holds no ISA segment.",
        "Send the 835 itself, as plain bytes, not a report made from it.",
    ),
    "no_envelope": Rule(
        "error",
        "An 835 begins without an ISA segment: sender, test or production, and delimiters are unknown.",
        "Send it with its interchange envelope (ISA, GS … GE, IEA): the clearinghouse has the original.",
    ),
    "envelope_unreadable": Rule(
        "error",
        "An ISA segment stands there, but not with sixteen elements, so the delimiters cannot be known.",
        "Ask the sender to repair the ISA segment: sixteen elements and 106 characters.",
    ),
    "no_remittance": Rule(
        "error",
        "The file holds no 835 transaction set.",
        "Send remittances (835) here; other transaction sets belong to other receivers.",
    ),
    "only_acknowledgments": Rule(
        "error",
        "The file holds acknowledgments (TA1, 997, 999 or 824) and no 835.",
        "Send remittances (835) here; an acknowledgment answers what you sent.",
    ),
    "only_claim_status": Rule(
        "error",
        "The file holds claim status responses (277) and no 835.",
        "Send remittances (835) here; a 277 tells status, not payment.",
    ),
    "test_refused": Rule(
        "error",
        "A transaction set of a test file (ISA15 T) came through a feed that takes none; it was not read.",
        "Send it as production; or let the feed take it (`reprieve feeds edit NAME --test-files separate`)"
        " and send it again.",
    ),
    "text_before_envelope": Rule(
        "warning", "Text stands before the ISA segment; it was skipped.", "Remove what is no part of the 835."
    ),
    "text_after_envelope": Rule(
        "error",
        "Bytes behind an IEA segment belong to no interchange; they were not read.",
        "Check that no interchange lost its ISA segment. " + _RESEND,
    ),
    "envelope_length": Rule(
        "note",
        "The ISA segment has not the 106 characters of the standard.",
        "Ask the sender to pad its elements.",
    ),
    "interchange_truncated": Rule(
        "error",
        "The interchange ends without IEA: the file may be cut.",
        "Send the whole file again: repeating is safe.",
    ),
    "group_truncated": Rule("error", "A functional group ends without GE.", _RESEND),
    "set_truncated": Rule(
        "error",
        "A transaction set ends without SE: its last claim may be cut and claims may be missing.",
        "Send the whole file again: repeating is safe.",
    ),
    "other_set": Rule(
        "note",
        "A transaction set other than 835 was skipped.",
        "Send it to the receiver that it is meant for.",
    ),
    "set_outside_group": Rule(
        "warning", "A transaction set stands outside a functional group (GS).", _RESEND
    ),
    "trailer_without_header": Rule("warning", "A trailer stands without its header.", _RESEND),
    "set_count": Rule("warning", "SE01 is not the number of segments of the set.", _RESEND),
    "group_count": Rule("warning", "GE01 is not the number of transaction sets of the group.", _RESEND),
    "interchange_count": Rule("warning", "IEA01 is not the number of groups of the interchange.", _RESEND),
    "set_control_number": Rule("warning", "SE02 is not the control number of the ST.", _RESEND),
    "group_control_number": Rule("warning", "GE02 is not the control number of the GS.", _RESEND),
    "interchange_control_number": Rule("warning", "IEA02 is not the control number of the ISA.", _RESEND),
    "unsupported_version": Rule(
        "warning", "GS08 is neither 005010X221 nor 004010X091; it was read as 005010X221A1.", _TELL
    ),
    # Segments
    "empty_segment": Rule("note", "A segment is empty: two terminators follow each other.", "Nothing to do."),
    "oversized_segment": Rule(
        "error",
        "A segment of more than 65,536 bytes was skipped: a terminator must be missing.",
        "Check the segment terminator that the ISA segment declares. " + _RESEND,
    ),
    "oversized_loop": Rule("error", "A claim has more than 50,000 segments; the rest was not read.", _RESEND),
    "unknown_segment": Rule("warning", "A segment is none that an 835 has here; it was skipped.", _TELL),
    "missing_payment": Rule("warning", "The set has no BPR segment: the sum paid is unknown.", _TELL),
    "missing_trace": Rule("warning", "The set has no check or transfer number (TRN02).", _TELL),
    "missing_party": Rule("warning", "The set does not name both payer and payee (N1).", _TELL),
    "misplaced_segment": Rule("warning", "A segment stands where an 835 has none of its kind.", _TELL),
    "foreign_currency": Rule(
        "warning", "The set is not in US dollars; amounts are shown as sent.", "Check amounts by hand."
    ),
    # Elements
    "amount_unreadable": Rule("error", "An amount cannot be read; it was left out.", _TELL),
    "amount_absurd": Rule(
        "warning",
        "An amount is beyond 99,999,999.99, more than an 835 may carry.",
        "Check it with the payer.",
    ),
    "date_unreadable": Rule("warning", "A date cannot be read; it was left out.", _TELL),
    "date_absurd": Rule("warning", "A date is of an impossible year; it was left out.", _TELL),
    "reason_missing": Rule("warning", "An adjustment has no reason code.", "Ask the payer why it adjusted."),
    # Claims
    "claim_unreadable": Rule(
        "error",
        "The claim, or its charge or payment (CLP03, CLP04), cannot be read; the claim is quarantined.",
        "Ask the payer for a corrected remittance; until then look it up by hand.",
    ),
    "claim_unidentified": Rule(
        "warning", "The claim has neither the provider's nor the payer's number.", "Identify it by hand."
    ),
    "contractual_equals_charge": Rule(
        "warning",
        "A price adjustment takes the whole charge, which its code forbids; it is treated as a denial.",
        "Ask the payer for the true reason.",
    ),
    "unpaid_unexplained": Rule(
        "warning",
        "Nothing is paid and no adjustment says why; it is treated as a denial.",
        "Ask the payer why.",
    ),
    # Balance (TR3 1.10.2)
    "line_out_of_balance": Rule(
        "warning",
        "A service line's charge less its adjustments is not what was paid (SVC02, CAS, SVC03).",
        _TELL,
    ),
    "claim_out_of_balance": Rule(
        "warning",
        "The claim's charge less all its adjustments is not what was paid (CLP03, CAS, CLP04).",
        _TELL,
    ),
    "set_out_of_balance": Rule(
        "warning",
        "The claims' payments less the provider adjustments are not the sum paid (CLP04, PLB, BPR02).",
        "Post by claim, and ask the payer about the difference.",
    ),
    "file_expired": Rule(
        "error",
        "The rest of the file can never be read: its retention ended and its key was destroyed.",
        "If its claims are still needed, look them up in the payer's portal.",
    ),
    "set_expired": Rule(
        "error",
        "A transaction set can never be read to its end: its organization's retention ended, and the key of"
        " its month was destroyed.",
        "If its claims are still needed, look them up in the payer's portal.",
    ),
    "more_findings": Rule(
        "note", "There are more findings of which only the first are kept.", "Repair the first ones."
    ),
}
"""Every code, with its severity, sentence and remedy."""
