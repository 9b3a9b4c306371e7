"""Urgency, kinds of care, and people's facts."""

from datetime import UTC, date, datetime

import pytest

from services.triage.domain.care import care_of, has_category, setting
from services.triage.domain.facts import believed, read_date, read_word, weigh
from services.triage.domain.urgency import Evidence, urgency_evidence
from tests.triage.domain.denials import EVENT, denial, fact, line


def with_lines(*lines, **changes):
    return denial(lines=lines, **changes)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (with_lines(line(), facility_type="23"), "place of service 23"),
        (with_lines(line(revenue_code="0450")), "revenue code 0450"),
        (with_lines(line(revenue_code="459")), "revenue code 0459"),
        (with_lines(line(qualifier="NU", code="0451")), "revenue code 0451"),
        (with_lines(line(qualifier="HC", code="99284")), "procedure 99284"),
        (with_lines(line(qualifier="HC", code="99212", original_code="99285")), "procedure 99285"),
        (with_lines(line(modifiers=("ET",))), "modifier ET"),
        (with_lines(line(remarks=["N864"])), "remark N864"),
        (with_lines(line(), remarks=["N864"]), "remark N864"),
        (with_lines(line(qualifier="HC", code="G0382")), "procedure G0382"),
        (with_lines(line(qualifier="HC", code="A0427")), "procedure A0427, emergency ambulance"),
        (with_lines(line(revenue_code="0981")), "revenue code 0981"),
        (with_lines(line(remarks=["N391"])), "remark N391"),
        (with_lines(line(revenue_code="0250"), facility_type="78"), "type of bill 78"),
        (with_lines(line(revenue_code="0456"), line(2, revenue_code="0450")), "revenue code 0450"),
    ],
)
def test_a_remittance_can_show_an_emergency(event, words):
    found = urgency_evidence(event)

    assert any(text.startswith(words) for text in found.emergency)
    assert found.urgency_class == "emergency"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (with_lines(line(revenue_code="0456")), "revenue code 0456, urgent care"),
        (with_lines(line(), facility_type="20"), "place of service 20"),
        (with_lines(line(modifiers=("GJ",))), "modifier GJ"),
    ],
)
def test_urgent_care_is_no_emergency(event, words):
    found = urgency_evidence(event)

    assert found.emergency == ()
    assert found.words[0].startswith(words)
    assert found.urgency_class == "urgent"


@pytest.mark.parametrize(
    "event",
    [
        with_lines(line()),
        with_lines(line(), facility_type="22"),
        with_lines(line(revenue_code="0360"), facility_type="23"),  # type of bill 23x: a nursing facility
        with_lines(line(qualifier="HC", code="99214")),
        with_lines(line(revenue_code="0490")),
        with_lines(line(revenue_code="0540", qualifier="HC", code="A0428")),  # a planned transport
        with_lines(line(), facility_type="78"),
        with_lines(line(revenue_code="0250"), facility_type="20"),  # type of bill, not place of service
        with_lines(line(), remarks=["N865", "N862"]),  # the No Surprises Act beyond emergencies
    ],
)
def test_without_evidence_the_urgency_is_not_guessed(event):
    assert urgency_evidence(event) == Evidence()
    assert urgency_evidence(event).urgency_class == "unknown"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (with_lines(line(), drg="470"), "inpatient"),
        (with_lines(line(), facility_type="21"), "inpatient"),  # place of service
        (with_lines(line(code="99213"), facility_type="11"), "outpatient"),  # place of service: an office
        (with_lines(line(), facility_type="11"), None),  # nothing says whether it is an office
        (with_lines(line(revenue_code="0120"), facility_type="11"), "inpatient"),  # type of bill 11x
        (with_lines(line(revenue_code="0360"), facility_type="13"), "outpatient"),
        (with_lines(line()), None),
    ],
)
def test_the_setting_is_read_from_bill_type_or_place(event, expected):
    assert setting(event) == expected


@pytest.mark.parametrize(
    ("code", "word", "expected"),
    [
        ("71260", "imaging", True),
        ("97110", "therapy", True),
        ("J1745", "injectable", True),
        ("81211", "genetics", True),
        ("29881", "imaging", False),
        (None, "imaging", None),
        ("29881", "nemt", None),
    ],
)
def test_codes_tell_some_categories_of_service(code, word, expected):
    care = care_of(with_lines(line(qualifier="HC", code=code)), frozenset((word,)))

    assert has_category(care, word) is expected


def test_the_latest_fact_of_a_kind_holds_and_all_are_listed():
    first = fact("urgency", "elective", minute=1)
    second = fact("urgency", "emergency", minute=2)

    for order in ([first, second], [second, first]):
        told = weigh(order, EVENT)
        assert told.words["urgency"] == "emergency"
        assert set(told.ids) == {first.fact_id, second.fact_id}


def test_facts_of_another_denial_are_not_weighed():
    other = fact("urgency", "emergency", about=__import__("uuid").UUID(int=99))

    assert weigh([other], EVENT).ids == ()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("urgency", "soon"),
        ("admission_date", "3/4/2026"),
        ("admission_date", "1026-01-01"),
        ("network_status", ""),
    ],
)
def test_a_fact_that_makes_no_sense_is_unreadable_and_still_listed(kind, text):
    told = weigh([fact(kind, text)], EVENT)

    assert told.unreadable == (kind,)
    assert len(told.ids) == 1


def test_dates_instants_and_months_are_read():
    assert read_date("admission_date", "2026-03-04") == date(2026, 3, 4)
    assert read_date("coverage_known_at", "2026-03-04T10:30:00-05:00") == datetime(
        2026, 3, 4, 15, 30, tzinfo=UTC
    )
    assert read_date("enrolment_month", "2026-02") == date(2026, 2, 1)
    assert read_word("service_category", "Post-acute") == "post_acute"


@pytest.mark.parametrize(
    ("kind", "value", "possible"),
    [
        ("admission_date", "2026-03-20", True),  # the day of the remittance
        ("admission_date", "2026-03-21", False),
        ("admission_date", "2026-03-21T03:00:00+00:00", True),  # still the 20th in the payer's zone
        ("service_date", "2026-04-02", False),
        ("denial_letter_date", "2026-03-01", False),  # the service was on the 2nd
        ("denial_letter_date", "2026-03-16", True),
        ("discharge_date", "2026-03-25", True),  # an interim bill is answered before the stay ends
        ("prior_decision_date", "2026-02-01", True),  # of the request before the service
    ],
)
def test_a_date_that_cannot_be_true_beside_the_remittance_is_not_believed(kind, value, possible):
    told = believed(weigh([fact(kind, value)], EVENT), denial(), "authorization_absent")

    assert (kind in told.dates) == possible
    assert told.impossible == (() if possible else (kind,))
    assert len(told.ids) == 1
