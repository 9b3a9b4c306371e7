"""
No template of any channel can carry a patient: planted identifiers never come out.

Every channel, every kind of notice and every kind of rule is taken from where the program has them, so that
none that is added later can be forgotten here.
"""

import json
import pkgutil
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from typing import get_args
from uuid import uuid4

import pytest

from services.tracker.alerts import channels
from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.alerts import Alert
from services.tracker.alerts.domain.content import (
    Content,
    Kind,
    Line,
    Totals,
    decode_content,
    encode_content,
)
from services.tracker.alerts.domain.digests import Figures, digest_content
from services.tracker.alerts.domain.groups import CATCH_UP, Group, Message
from services.tracker.alerts.domain.judging import CaseFacts
from services.tracker.alerts.domain.messages import content_of
from services.tracker.alerts.domain.rules import KINDS as RULES
from tests.tracker.alerts.conftest import LINE, notification
from tests.tracker.alerts.support import MONDAY, alert

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
KINDS_OF_NOTICE = get_args(Kind)
OF_CASES = {name for name, kind in RULES.items() if kind.about == "cases"} | {CATCH_UP}


def content_for(rule: str, notice: str) -> Content:
    """Write what a rule of a kind says in a notice of a kind."""
    if rule == "morning_digest":
        figures = Figures(
            **{one.name: Decimal(14) if one.name.endswith("amount") else 14 for one in fields(Figures)}
        )
        return digest_content("Morning summary", figures, pressing=(LINE,))
    about = {} if rule in OF_CASES else {"case_id": None, "label": "feed nightly is silent"}
    ends = {"end_at": MONDAY + timedelta(days=3), "zone": "America/Chicago"}
    found = tuple(alert(kind=rule, **about, **ends) for _ in range(3))
    group = Group(
        channel_id=uuid4(),
        group_key="g",
        kind=rule,
        rule_name=f"a rule of {rule}",
        severity="error",
        window="w",
        began_at=MONDAY,
        flush_at=MONDAY,
    )
    kind = notice if notice in ("update", "resolved") else "firing"
    return content_of(
        Message(group=group, kind=kind, alerts=found, new=1, gone=1),
        at=MONDAY,
        case_link="https://reprieve.example/cases/{case_id}",
    )


def planted(content: Content) -> Content:
    """Write identifiers beside every field that a rule may fill, as a careless writer of rows would."""
    stored = json.loads(encode_content(content))
    stored |= PLANTED
    stored["totals"] |= PLANTED
    stored["lines"] = [line | PLANTED for line in stored["lines"]]
    return decode_content(json.dumps(stored))


@pytest.mark.parametrize("rule", sorted({*RULES, CATCH_UP}))
@pytest.mark.parametrize("channel", sorted(KINDS))
def test_planted_identifiers_are_in_no_message(channel, rule):
    for kind_of_notice in KINDS_OF_NOTICE:
        told = notification(kind=kind_of_notice, content=planted(content_for(rule, kind_of_notice)))

        said = KINDS[channel].render(told).decode()

        assert not [value for value in PLANTED.values() if value in said]
        assert "PLANTED" not in said
        if kind_of_notice != "resolved" or channel != "pagerduty":
            assert "Acme Health" in said
            assert told.runbook in said


def test_every_module_of_channels_is_a_kind_of_channel():
    named = {one.name for one in pkgutil.iter_modules(channels.__path__)}

    assert named - {"http", "kind", "kinds"} == {*KINDS}


async def test_the_database_takes_the_same_kinds_of_notice(select):
    ((rule,),) = await select(
        "select pg_get_constraintdef(oid) from pg_constraint"
        " where conrelid = cast('tracker.notifications' as regclass) and conname = 'notifications_kind_check'"
    )

    assert {*rule.split("'")[1::2]} == {*KINDS_OF_NOTICE}


def test_nothing_on_the_way_to_a_message_has_a_field_for_a_person_or_a_claim():
    """A field that is added anywhere between the case and the channel is judged here first."""
    of_cases = {
        *(
            "case_id",
            "version",
            "state",
            "payer_name",
            "payer_id",
            "category",
            "amount",
            "deadlines",
            "zones",
        ),
        *("opened_at", "closed_at", "assignee_id", "follow_up_on", "information_due_at"),
    }
    of_alerts = {
        *(
            "alert_id",
            "rule_id",
            "rule_version",
            "kind",
            "rule_name",
            "subject",
            "tier",
            "severity",
            "case_id",
        ),
        *("case_version", "payer", "payer_id", "category", "amount", "label", "end_at", "zone", "opened_at"),
        *("recheck_at", "caught_up_at", "acknowledged_at", "acknowledged_by"),
    }
    assert {one.name for one in fields(CaseFacts)} == of_cases
    assert {one.name for one in fields(Alert)} == of_alerts
    assert {*Totals.__struct_fields__} == {"count", "amount"}
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

    assert {*Content.__struct_fields__, *Line.__struct_fields__} == allowed


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
