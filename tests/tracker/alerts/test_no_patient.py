"""No template of any channel can carry a patient: planted identifiers never come out."""

import json
from uuid import uuid4

import pytest

from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.content import Content, Line, decode_content, encode_content
from tests.tracker.alerts.conftest import CONTENT, notification

PLANTED = {
    "patient_name": "PLANTEDDOE, JANE",
    "subscriber": "PLANTEDSUB",
    "member_id": "PLANTEDW123456789",
    "claim_number": "PLANTED-ACCT-1",
    "payer_claim_number": "PLANTED-ICN-2",
    "date_of_birth": "PLANTED1980-01-01",
    "note": "PLANTED note about the patient",
    "authorization_number": "PLANTED-AUTH",
    "rendering_npi": "PLANTED-NPI",
}
KINDS_OF_NOTICE = ("firing", "update", "resolved", "digest", "test")


def planted_content() -> Content:
    """Write identifiers beside every field that a rule may fill, as a careless writer of rows would."""
    stored = json.loads(encode_content(CONTENT))
    stored |= PLANTED
    stored["totals"] |= PLANTED
    stored["lines"] = [line | PLANTED for line in stored["lines"]]
    return decode_content(json.dumps(stored))


@pytest.mark.parametrize("kind_of_notice", KINDS_OF_NOTICE)
@pytest.mark.parametrize("channel", sorted(KINDS))
def test_planted_identifiers_are_in_no_message(channel, kind_of_notice):
    told = notification(kind=kind_of_notice, content=planted_content(), notification_id=uuid4())

    said = KINDS[channel].render(told).decode()

    assert not [value for value in PLANTED.values() if value in said]
    assert "PLANTED" not in said
    if kind_of_notice != "resolved" or channel != "pagerduty":
        assert "Acme Health" in said


def test_a_content_has_no_field_for_a_person_or_a_claim():
    allowed = {
        "title",
        "rule",
        "lines",
        "totals",
        "runbook",
        "link",
        "acknowledged",
        "case_id",
        "label",
        "payer",
        "category",
        "amount",
        "days_left",
        "deadline_on",
        "zone",
    }

    assert {*Content.__struct_fields__, *Line.__struct_fields__} <= allowed


@pytest.mark.parametrize("channel", sorted(KINDS))
def test_a_message_holds_nothing_that_can_break_out_of_it(channel):
    hostile = '<script>alert(1)</script>\r\nBcc: x@y.example "quoted" \\ \x00'
    line = Line(payer=hostile, label=hostile, category="c", link="javascript:alert(1)")
    told = notification(
        content=Content(title=hostile, rule="r", lines=(line,), link="javascript:alert(1)"), runbook=None
    )

    said = KINDS[channel].render(told).decode()

    if channel != "webhook":
        assert "javascript:" not in said
    assert "\nBcc:" not in said
    if channel in ("slack_bot", "slack_webhook"):
        assert "<script>" not in json.dumps(
            [b for b in json.loads(said)["blocks"] if b["type"] != "header"]
            if channel == "slack_webhook"
            else ""
        )
