"""What a policy may say of one clock, each key by itself. Dates by hand."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triage.domain.clocks import state_of
from services.triage.domain.decide import decide
from services.triage.domain.policies import load_policies
from shared.calendars import Calendar
from tests.triage.domain.denials import denial, facts, line
from tests.triage.domain.test_policies import SOUND, mistakes

HEAD = SOUND[: SOUND.index("[[clocks]]")]
TAIL = SOUND[SOUND.index("[[examples]]") :]


def policy(*clocks, head="", kind="retro_authorization"):
    blocks = [f'[[clocks]]\nkind = "{kind}"\nlabel = "{n}"\n{keys}\n' for n, keys in enumerate(clocks)]
    version = f'version = "1"\n{head}'
    return load_policies({"a.toml": (HEAD.replace('version = "1"', version) + "\n".join(blocks) + TAIL).encode()})  # fmt: skip


def clock(keys, *, event=None, head="", kind="retro_authorization", as_of=date(2026, 3, 21), **told):
    event = event or denial(payer="PLAN A")
    (found,) = decide(event, facts(**told), policy(keys, head=head, kind=kind), Calendar(), as_of).clocks
    return found


THIRTY = 'amount = 30\nunit = "calendar_days"\nanchors = ["dos_first"]\n'


# -- exempt -------------------------------------------------------------------------------------------------

EXEMPT = THIRTY + 'exempt = ["service_category=therapy and network_status=in"]\nfallback = "dispute it"'


def test_where_nothing_was_needed_the_way_is_shut_and_the_denial_is_the_payers_error():
    found = clock(EXEMPT, service_category="therapy", network_status="in")

    assert found.permitted is False
    assert "the denial contradicts its rule" in found.reasons[0]
    assert found.reasons[1] == "instead: dispute it"


def test_an_exemption_that_may_hold_is_named_and_stops_nothing():
    found = clock(EXEMPT, service_category="therapy")

    assert found.permitted is True
    assert found.deadline_at.date() == date(2026, 4, 1)
    assert found.reasons == ("none is needed with service category: therapy and network status: in",)
    assert found.missing_facts == ()


@pytest.mark.parametrize("told", [{"network_status": "out"}, {"service_category": "imaging"}])
def test_conditions_joined_by_and_fail_with_any_of_them(told):
    assert clock(EXEMPT, **told).reasons == ()


def test_conditions_joined_by_and_ask_for_each_fact_that_is_missing():
    found = clock(THIRTY + 'requires = ["network_status=in and retro_eligibility=yes"]')

    assert found.permitted is None
    assert found.missing_facts == ("network_status", "retro_eligibility")


def test_a_word_for_a_program_does_not_say_that_the_patient_went_home():
    stay = denial(payer="PLAN A", drg="807", statement_from=date(2026, 3, 2))
    keys = THIRTY + 'when = ["service_category=inpatient"]'

    assert clock(keys, event=stay, service_category="maternity").permitted is True


# -- caps ---------------------------------------------------------------------------------------------------

CAPPED = (
    'amount = 95\nunit = "calendar_days"\nanchors = ["provider_enrolled"]\n'
    'caps = [{ amount = 0, unit = "calendar_days", anchor = "filing_limit" }]'
)


def test_the_earlier_of_window_and_cap_ends_it_and_the_clock_counts_from_there():
    early = clock(CAPPED, provider_enrolled_date="2026-02-02", filing_limit_date="2026-04-06")
    late = clock(CAPPED, provider_enrolled_date="2026-02-02", filing_limit_date="2026-06-06")

    assert (early.deadline_at.date(), early.anchor) == (date(2026, 4, 6), "filing_limit")
    assert early.steps[0] == "counted from the filing limit date that a person recorded"
    # 2 February is day 33, + 95 = 128, 8 May
    assert (late.deadline_at.date(), late.anchor) == (date(2026, 5, 8), "provider_enrolled")


def test_an_unknown_cap_leaves_only_a_bound_from_above_and_asks():
    found = clock(CAPPED, provider_enrolled_date="2026-02-02")

    assert (found.deadline_at, found.earliest, found.latest.date()) == (None, None, date(2026, 5, 8))
    assert found.missing_facts == ("filing_limit_date",)


def test_a_known_cap_bounds_a_window_whose_start_is_unknown():
    found = clock(CAPPED, filing_limit_date="2026-04-06")

    assert (found.deadline_at, found.earliest, found.latest.date()) == (None, None, date(2026, 4, 6))
    assert found.missing_facts == ("provider_enrolled_date",)


# -- anchors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("month", "expected"),
    [
        ("2026-01", date(2026, 3, 2)),  # 31 January + 30: 28 days of February, and 2
        ("2028-01", date(2028, 3, 1)),  # a leap year
        ("2026-04", date(2026, 5, 30)),  # April has 30 days
    ],
)
def test_the_end_of_the_enrolments_month_can_be_counted_from(month, expected):
    keys = THIRTY.replace("dos_first", "enrolment_month_end")

    assert clock(keys, enrolment_month=month).deadline_at.date() == expected
    assert clock(keys).missing_facts == ("enrolment_month",)


def test_the_hour_of_a_service_on_the_known_day_is_taken():
    keys = 'amount = 48\nunit = "hours"\nanchors = ["dos_last"]'
    # 18:00 on 2 March in Denver + 48 hours
    found = clock(keys, service_date="2026-03-02T18:00:00-07:00")

    assert found.deadline_at.isoformat() == "2026-03-04T18:00:00-07:00"


@pytest.mark.parametrize(
    ("unit", "expected"), [("months", date(2026, 4, 1)), ("years", date(2027, 3, 1))]
)  # counting 2 March itself
def test_months_and_years_may_count_their_first_day(unit, expected):
    keys = f'amount = 1\nunit = "{unit}"\nanchors = ["dos_first"]\ncount_from = "same_day"'

    assert clock(keys).deadline_at.date() == expected


# -- lateness -----------------------------------------------------------------------------------------------

LATE = (
    'amount = 24\nunit = "hours"\nanchors = ["admission"]\n'
    'late = [{ cost = "day_cut", within = { amount = 72, unit = "hours" } }, { cost = "denial", note = "whole stay" }]'
)
STAY = denial(payer="PLAN A", drg="470", statement_from=date(2026, 3, 4))


def test_what_lateness_costs_is_said_with_the_instant_until_which_it_costs_that():
    found = clock(LATE, event=STAY, kind="notification", admission_date="2026-03-04T10:30:00-07:00")

    assert found.consequence == (
        "if late, but within 72 hours (until 2026-03-07 10:30): days are cut; if late: denied (whole stay)"
    )


def test_without_the_admission_lateness_has_no_date():
    assert clock(LATE, event=STAY, kind="notification").consequence == (
        "if late, but within 72 hours: days are cut; if late: denied (whole stay)"
    )


def test_a_penalty_says_how_much():
    keys = 'open_ended = true\nlate = [{ cost = "penalty", percent = 10, percent_up_to = 50 }]'

    assert clock(keys).consequence == "if late: paid less instead of denied, by 10 to 50 percent"


# -- reviews, corrected claims ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urgency", "words"),
    [("urgent", "The payer states 72 hours"), ("elective", "The payer states 30 calendar days")],
)
def test_the_first_review_time_whose_conditions_hold_is_told(urgency, words):
    reviews = (
        'reviews = [{ amount = 72, unit = "hours", when = ["urgency=urgent"] }, { amount = 30 }]\n'
        "follow_up_days = 10\n"
    )
    found = decide(
        denial(payer="PLAN A"),
        facts(urgency=urgency),
        policy(THIRTY, head=reviews),
        Calendar(),
        date(2026, 3, 21),
    )

    assert any(text.startswith(words) for text in found.explanation)
    assert "Ask after it every 10 days" in found.explanation


def test_a_corrected_claims_limit_stands_beside_and_governs_once_an_authorization_is_found():
    policies = policy('amount = 180\nunit = "calendar_days"\nanchors = ["dos_last"]', kind="corrected_claim")
    event = denial(payer="PLAN A", lines=[line(service_from=date(2026, 3, 2))])
    before = decide(event, (), policies, Calendar(), date(2026, 3, 21))
    after = decide(event, facts(authorization_found="A1"), policies, Calendar(), date(2026, 3, 21))

    assert before.clocks[0].deadline_at.date() == date(2026, 8, 29)  # day 61 + 180 = 241, 241 - 212
    assert before.recommended_action == "search_existing_authorization"
    assert after.recommended_action == "send_corrected_claim"
    assert any("by 2026-08-29 23:59 America/Denver" in text for text in after.next_actions)


# -- steps --------------------------------------------------------------------------------------------------


def test_the_steps_name_the_holidays_that_were_passed_over():
    keys = 'amount = 5\nunit = "business_days"\nanchors = ["dos_first"]'
    day = date(2026, 2, 13)
    event = denial(payer="PLAN A", service_from=day, lines=[line(service_from=day)])

    assert any(
        step.endswith("is 2026-02-23 (Mon), not counting 2026-02-16 (Mon) Washington's Birthday")
        for step in clock(keys, event=event).steps
    )


# -- mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('late = [{ cost = "denial", percent = 10 }]', "clocks[1].late[1].percent: belongs to a penalty"),
        ('caps = [{ amount = 2, unit = "hours", roll = "next_business_day", anchor = "dos_last" }]', "caps[1].unit: hours really pass"),
        ('after = "retro_authorization"', "clocks[1].after: a clock cannot wait for its own kind"),
        ('exempt = ["network_status=in and moon=full"]', "'moon' cannot be asked"),
        ('count_from = "same_day"\namount_latest = 0', "amount_latest: lies below amount"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_remedy(more, words):
    assert words in mistakes(SOUND.replace("amount = 30", f"{more}\namount = 30"))


def test_a_mistake_in_a_list_of_tables_has_its_own_line():
    wrong = SOUND.replace(
        'clocks = [{ kind = "retro_authorization", permitted = true,',
        'clocks = [\n  { kind = "retro_authorization" },\n  { kind = "retro", permitted = true,',
    )
    lines = wrong.splitlines()
    at = next(n for n, text in enumerate(lines, start=1) if '"retro",' in text)

    assert f"plan.toml: line {at}: examples[1].clocks[2].kind: must be one of" in mistakes(wrong)


# -- properties ---------------------------------------------------------------------------------------------

units = st.sampled_from(["hours", "calendar_days", "business_days", "months"])
days = st.dates(date(2024, 1, 1), date(2028, 12, 31))


def served(day):
    return denial(
        payer="PLAN A", service_from=day, payer_date=day + timedelta(days=20), lines=[line(service_from=day)]
    )


def ends(keys, day, *, head=""):
    found = clock(keys, event=served(day), head=head)
    return found.deadline_at or found.earliest


@given(day=days, amount=st.integers(1, 60), more=st.integers(0, 60), unit=units, cap=st.integers(1, 90))
def test_widening_a_window_never_shortens_a_deadline(day, amount, more, unit, cap):
    keys = f'amount = {{}}\nunit = "{unit}"\nanchors = ["dos_first"]\ncaps = [{{{{ amount = {cap}, unit = "calendar_days", anchor = "dos_last" }}}}]'

    assert ends(keys.format(amount + more), day) >= ends(keys.format(amount), day)


@given(day=days, amount=st.integers(1, 30), offsets=st.lists(st.integers(-3, 60), max_size=4, unique=True))
def test_adding_a_holiday_never_moves_a_business_day_deadline_earlier(day, amount, offsets):
    keys = f'amount = {amount}\nunit = "business_days"\nanchors = ["dos_first"]'
    closed = ", ".join((day + timedelta(days=offset)).isoformat() for offset in offsets)

    assert ends(keys, day, head=f"closed_days = [{closed}]\n") >= ends(keys, day)


@given(day=days, amount=st.integers(1, 90), cap=st.integers(1, 90))
def test_a_cap_never_gives_more_time(day, amount, cap):
    keys = f'amount = {amount}\nunit = "calendar_days"\nanchors = ["dos_first"]\n'
    capped = keys + f'caps = [{{ amount = {cap}, unit = "calendar_days", anchor = "dos_last" }}]'

    assert ends(capped, day) <= ends(keys, day)


@given(day=days, asked=st.integers(0, 200), later=st.integers(0, 200), unit=units, amount=st.integers(1, 60))
def test_a_later_day_never_opens_a_clock_again(day, asked, later, unit, amount):
    found = clock(f'amount = {amount}\nunit = "{unit}"\nanchors = ["dos_first"]', event=served(day))
    first = day + timedelta(days=asked)

    if state_of(found, first) == "closed":
        assert state_of(found, first + timedelta(days=later)) == "closed"
