"""Given this denial, this payer and this day: this date, this action. Dates computed by hand."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.triage.domain import (
    anchors,
    care,
    classification,
    clocks,
    cues,
    outlook,
    papers,
    policies,
    urgency,
)
from services.triage.domain.clocks import SILENT, state_of
from services.triage.domain.decide import decide
from services.triage.policies import shipped_policies
from shared.calendars import Calendar
from shared.contracts.base import encode
from shared.contracts.claim import BalanceFinding, Party, Reference
from shared.contracts.denial_triaged import DenialTriaged, Triaged
from tests.triage.domain.denials import denial, fact, facts, line, refused

POLICIES = shipped_policies()
REMEMBERED = [
    found
    for module in (anchors, care, classification, clocks, cues, outlook, papers, policies, urgency)
    for found in vars(module).values()
    if hasattr(found, "cache_clear")
]
DAY = date(2026, 3, 21)
RETRO = "retro_authorization"


def decided(event, *told, as_of=DAY, revision=1):
    return decide(event, told, POLICIES, Calendar(), as_of, revision)


def office(code="197", *, payer="PRIORITY HEALTH", filing="12", remarks=(), **changes):
    """An office visit of 2 March, refused on 20 March."""
    changes.setdefault("service_from", date(2026, 3, 2))
    one = line(remarks=remarks, qualifier="HC", code="64483", service_from=changes["service_from"])
    return denial(
        refused(code), payer=payer, filing_indicator=filing, facility_type="11", lines=[one], **changes
    )


def clock(decision, kind):
    return next(one for one in decision.clocks if one.kind == kind)


ACTIONS = [
    # code, remarks, payer, CLP06, day, action
    ("197", (), "PRIORITY HEALTH", "12", date(2026, 3, 21), "request_retro_authorization"),
    ("197", (), "PRIORITY HEALTH", "12", date(2026, 5, 31), "request_retro_authorization"),  # the last day
    ("197", (), "PRIORITY HEALTH", "12", date(2026, 6, 1), "review_write_off"),  # Level I ended on 24 May
    ("197", (), "PRIORITY HEALTH", "16", date(2026, 3, 21), "appeal"),  # Medicare Advantage: not permitted
    ("197", (), "UHC", "12", date(2026, 3, 21), "appeal"),  # a claim was submitted
    ("197", (), "AETNA", "12", date(2026, 3, 21), "search_existing_authorization"),
    ("197", (), "AETNA", "12", date(2026, 6, 1), "request_reconsideration"),  # 90 days ended on 31 May
    ("198", (), "AETNA", "12", date(2026, 6, 1), "request_reconsideration"),
    ("197", (), "NO SUCH PLAN", "12", date(2026, 3, 21), "search_existing_authorization"),
    ("197", (), "NO SUCH PLAN", "12", date(2026, 6, 1), "appeal"),  # 90 days ended on 31 May
    ("197", (), "TRICARE EAST", "CH", date(2026, 12, 1), "request_retro_authorization"),
    ("197", (), "SUNSHINE HEALTH", "MC", date(2026, 3, 21), "search_existing_authorization"),
    ("198", (), "PRIORITY HEALTH", "12", date(2026, 3, 21), "request_extension"),
    ("198", (), "AETNA", "12", date(2026, 3, 21), "request_extension"),
    ("302", (), "PRIORITY HEALTH", "12", date(2026, 3, 21), "request_date_change"),
    ("284", (), "PRIORITY HEALTH", "12", date(2026, 3, 21), "amend_authorization"),
    ("296", (), "PRIORITY HEALTH", "12", date(2026, 3, 21), "amend_authorization"),
    ("210", (), "AETNA", "12", date(2026, 9, 16), "request_reconsideration"),  # 180 days, the last one
    ("210", (), "AETNA", "12", date(2026, 9, 17), "review_write_off"),
    ("39", (), "PRIORITY HEALTH", "12", date(2026, 3, 21), "appeal"),
    ("39", (), "SUNSHINE HEALTH", "MC", date(2026, 6, 18), "appeal"),
    ("39", (), "SUNSHINE HEALTH", "MC", date(2026, 6, 19), "review_write_off"),
    ("39", (), "NO SUCH PLAN", "12", date(2027, 6, 19), "appeal"),  # no rule says that it is too late
    ("288", (), "PRIORITY HEALTH", "HM", date(2026, 3, 21), "obtain_referral"),
    ("243", (), "NO SUCH PLAN", "HM", date(2026, 3, 21), "obtain_referral"),
    ("242", (), "PRIORITY HEALTH", "HM", date(2026, 3, 21), "request_network_exception"),
    ("16", ("M62",), "AETNA", "12", date(2026, 3, 21), "search_existing_authorization"),
    ("16", ("M44",), "AETNA", "12", date(2026, 3, 21), "send_corrected_claim"),
    ("252", ("N706",), "AETNA", "12", date(2026, 3, 21), "send_records"),
    ("16", (), "AETNA", "12", date(2026, 3, 21), "review_by_hand"),
    ("29", (), "AETNA", "12", date(2026, 3, 21), "route_elsewhere"),
    ("50", (), "AETNA", "12", date(2026, 3, 21), "appeal"),
    ("18", (), "AETNA", "12", date(2026, 3, 21), "route_elsewhere"),
    ("ZZ9", (), "AETNA", "12", date(2026, 3, 21), "review_by_hand"),
    ("197", ("MA130",), "AETNA", "12", date(2026, 3, 21), "send_corrected_claim"),
    ("39", ("N921",), "PRIORITY HEALTH", "12", date(2026, 3, 21), "review_write_off"),
    ("39", ("N921",), "NO SUCH PLAN", "12", date(2026, 3, 21), "review_write_off"),
]


@pytest.mark.parametrize(("code", "remarks", "payer", "filing", "day", "action"), ACTIONS)
def test_the_day_decides_which_way_is_next(code, remarks, payer, filing, day, action):
    found = decided(office(code, payer=payer, filing=filing, remarks=remarks), as_of=day)

    assert found.recommended_action == action


def test_a_number_echoed_beside_a_197_is_checked_first():
    echoed = replace(office(), authorization_numbers=(Reference(qualifier="G1", value="INVENTED"),))
    line_echo = denial(refused("197"), lines=[line(number_on_file="INVENTED")])

    for event in (echoed, line_echo):
        found = decided(event)
        assert found.recommended_action == "check_authorization_on_file"
        assert "If they match: ask for reconsideration" in found.next_actions[1]


def test_an_authorization_that_a_person_found_goes_on_a_corrected_claim():
    assert (
        decided(office(), fact("authorization_found", "INVENTED")).recommended_action
        == "send_corrected_claim"
    )


def test_a_closed_window_is_named_with_its_day():
    found = decided(office(), as_of=date(2026, 6, 1))

    assert any(text.startswith("Closed on 2026-05-31 (priority-nonma)") for text in found.explanation)
    assert found.needs_human


def test_the_default_never_closes_a_case():
    found = decided(office(payer="NO SUCH PLAN"), as_of=date(2027, 1, 1))

    assert found.recommended_action == "appeal"
    assert found.payer_match is None


def test_an_ambiguous_payer_wants_a_person_and_says_which_fact_helps():
    found = decided(office(filing=None))

    assert found.payer_match is None
    assert any("line of business is unknown" in reason for reason in found.needs_human_reasons)


def test_the_appeal_of_a_remark_and_of_the_policy_are_both_shown_the_earlier_first():
    found = decided(office("39", remarks=["MA01"]))

    appeals = [one.deadline_at.date() for one in found.clocks if one.kind == "appeal_level_1"]
    assert appeals == [date(2026, 5, 24), date(2026, 7, 18)]  # 65 and 120 days from 20 March


def test_ma02_announces_180_days():
    found = decided(office("39", payer="NO SUCH PLAN", remarks=["MA02"]))

    assert clock(found, "appeal_level_1").deadline_at.date() == date(2026, 9, 16)


def test_a_look_alike_that_is_appealed_shows_the_appeal_and_nothing_else():
    found = decided(office("50", remarks=["MA01"]))

    assert not found.auth_related
    assert [(one.policy_id, one.kind) for one in found.clocks] == [
        ("priority-nonma", "appeal_level_1"),
        ("remark-ma01", "appeal_level_1"),
        ("priority-nonma", "appeal_level_2"),
    ]


def test_a_look_alike_that_goes_elsewhere_has_no_clock():
    assert decided(office("26")).clocks == ()


def test_ma130_forbids_every_appeal():
    found = decided(office("39", remarks=["MA130", "MA01"]))

    assert {one.permitted for one in found.clocks if one.kind.startswith("appeal")} == {False}


def test_an_admission_date_re_anchors_a_bound_into_a_deadline():
    stay = denial(
        refused("197"),
        payer="PRIORITY HEALTH",
        filing_indicator="12",
        drg="470",
        statement_from=date(2026, 3, 2),
    )
    before = clock(decided(stay), "retro_authorization")
    after = clock(decided(stay, *facts(admission_date="2026-02-27")), "retro_authorization")

    assert before.deadline_at is None
    assert before.earliest is None
    assert before.latest.date() == date(2026, 5, 31)
    assert before.missing_facts == ("admission_date",)
    assert after.deadline_at.date() == date(2026, 5, 28)
    assert after.anchor_source == "the admission date that a person recorded"


def test_a_deadline_that_is_only_bounded_wants_a_person_until_the_date_is_known():
    stay = denial(
        refused("197"),
        payer="PRIORITY HEALTH",
        filing_indicator="12",
        drg="470",
        statement_from=date(2026, 3, 2),
    )

    assert decided(stay).needs_human_reasons == ("the deadline is uncertain: find out the admission date",)
    assert decided(stay, *facts(admission_date="2026-02-27")).needs_human_reasons == ()


def test_a_way_without_any_known_time_limit_wants_a_person():
    assert decided(office("39", payer="NO SUCH PLAN")).needs_human_reasons == (
        "no rule that we know states a time limit",
    )


def test_without_a_date_of_service_the_remittance_bounds_it_and_the_date_is_asked_for():
    undated = denial(
        refused("197"),
        payer="PRIORITY HEALTH",
        filing_indicator="12",
        facility_type="11",
        lines=[line(code="64483")],
        service_from=None,
        service_to=None,
        service_date_source="none",
    )
    found = clock(decided(undated), "retro_authorization")

    # Nothing is served after it is remitted: 20 March is day 79, + 90 = 169, 18 June.
    assert (found.deadline_at, found.earliest, found.latest.date()) == (None, None, date(2026, 6, 18))
    assert found.missing_facts == ("service_date",)
    told = clock(decided(undated, *facts(service_date="2026-03-02")), "retro_authorization")
    assert told.deadline_at.date() == date(2026, 5, 31)


def test_a_policy_that_states_no_retroactive_window_leaves_the_way_open_as_a_question():
    found = decided(office("197", payer="AETNA"))

    one = clock(found, "retro_authorization")
    assert (one.permitted, one.policy_id, one.policy_status) == (None, "default", "unconfirmed")
    assert (one.deadline_at, one.earliest.date(), one.latest.date()) == (
        None,
        date(2026, 3, 16),  # 14 days from 2 March
        date(2026, 5, 31),  # 90 days
    )
    assert one.label == "Retroactive request: the policy states no window, ask the payer"
    assert found.payer_match == "aetna"
    assert SILENT in found.needs_human_reasons
    search, retro, reconsider, not_required = found.next_actions
    assert search.startswith("Search for an authorization")
    assert retro.startswith(
        "Else: Retroactive request: the policy states no window, ask the payer, act today"
    )
    assert reconsider.startswith("Else: Reconsideration")
    assert "asks for none for this code" in not_required


def test_the_question_is_not_asked_where_the_payer_forbids_or_states_it_or_where_it_cures_nothing():
    for event in (
        office("197", filing="16"),  # Priority Health Medicare Advantage: not permitted
        office("197"),  # Priority Health: 90 days
        office("39", payer="AETNA"),  # refused when asked: an appeal's matter
        office("29", payer="AETNA"),
    ):
        found = decided(event)
        assert all(one.policy_id != "default" for one in found.clocks)
        assert SILENT not in found.needs_human_reasons


def test_tricare_as_secondary_says_in_words_the_action_that_it_recommends():
    found = decided(office("197", payer="TRICARE EAST", filing="CH", claim_status="2"))

    assert found.recommended_action == "request_reconsideration"
    assert any("other coverage is primary: dispute" in reason for reason in clock(found, RETRO).reasons)
    assert not any("ppeal" in text for text in (*found.next_actions, *clock(found, RETRO).reasons))


def test_a_notice_that_can_still_be_given_goes_before_the_question():
    event = denial(
        refused("197"),
        payer="MISSISSIPPI MEDICAID",
        filing_indicator="MC",
        drg="194",
        statement_from=date(2026, 3, 20),
    )
    found = decided(event, *facts(urgency="emergency", admission_date="2026-03-20"))

    # Friday 20 March: the next working day is Monday the 23rd.
    assert found.recommended_action == "notify_payer"
    assert clock(found, "notification").deadline_at.date() == date(2026, 3, 23)
    assert clock(found, "retro_authorization").permitted is None
    assert SILENT not in found.needs_human_reasons


def test_our_receipt_is_no_payers_date():
    found = clock(decided(office("210", payer="AETNA", payer_date_source="receipt")), "reconsideration")

    assert found.deadline_at is None
    assert found.latest.date() == date(2026, 9, 16)


def test_the_letter_counts_where_it_is_older_than_the_remittance():
    event = office("39", payer="SUPERIOR HEALTHPLAN", filing="MC")

    older = clock(decided(event, *facts(denial_letter_date="2026-03-10")), "appeal_level_1")
    newer = clock(decided(event, *facts(denial_letter_date="2026-03-25")), "appeal_level_1")

    assert older.deadline_at.date() == date(2026, 5, 9)
    assert newer.deadline_at.date() == date(2026, 5, 19)  # counted from the remittance of 20 March


def test_the_refused_line_counts_and_not_its_neighbour():
    lines = [
        line(1, qualifier="HC", code="64483", service_from=date(2026, 2, 2)),
        line(2, qualifier="HC", code="64484", service_from=date(2026, 3, 2)),
    ]
    event = denial(
        refused("197", line_number=2),
        payer="PRIORITY HEALTH",
        filing_indicator="12",
        facility_type="11",
        lines=lines,
        service_from=date(2026, 2, 2),
    )

    assert clock(decided(event), "retro_authorization").anchor_date == date(2026, 3, 2)


def test_a_typing_mistake_in_a_date_starts_no_clock():
    absurd = office("210", payer="AETNA", payer_date=date(206, 3, 20))
    found = decided(absurd)

    assert clock(found, "reconsideration").deadline_at is None
    assert any("cannot be true" in reason for reason in found.needs_human_reasons)


def test_patient_liability_is_said():
    found = decided(denial(refused("197", group="PR")))

    assert found.responsible_party == "patient"
    assert found.recommended_action == "review_patient_billing"
    assert "makes the patient liable" in found.next_actions[0]
    assert found.needs_human


def test_reversal_cues_are_explained():
    found = decided(office(remarks=["N688"]))

    assert any("N688" in text for text in found.explanation)
    assert found.category == "authorization_absent"


def test_what_does_not_add_up_wants_a_person_and_lowers_the_confidence():
    finding = BalanceFinding(
        level="claim", reported_amount=Decimal(1), computed_amount=Decimal(2), difference=Decimal(-1)
    )
    sound, broken = decided(office()), decided(replace(office(), balance_findings=(finding,)))

    assert not sound.needs_human
    assert broken.needs_human
    assert broken.confidence < sound.confidence


def test_an_unreadable_fact_wants_a_person_and_is_settled():
    wrong = fact("admission_date", "last Tuesday")
    found = decided(office(), wrong)

    assert found.fact_ids == (wrong.fact_id,)
    assert "the recorded admission date cannot be read" in found.needs_human_reasons


def test_urgency_is_taken_from_people_first():
    assert decided(office()).urgency_class == "unknown"
    assert decided(office(), fact("urgency", "elective")).urgency_class == "elective"


def test_priority_falls_with_time_left_and_rises_with_money():
    small, large = decided(office()), decided(
        denial(refused("197", "50000.00"), lines=[line(charge="50000.00")], payer="PRIORITY HEALTH", filing_indicator="12", facility_type="11")
    )  # fmt: skip

    assert large.priority > small.priority
    assert decided(office(), as_of=date(2026, 5, 30)).priority > small.priority
    assert decided(office("29")).priority < small.priority


def test_more_money_than_can_be_true_breaks_nothing():
    huge = denial(refused("197", "99999999999999999999.99"), refused("197", "-1.00", line_number=2))

    assert 0 <= decided(huge).priority <= 100
    assert decided(denial(refused("197", "-500.00"))).priority >= 0


def test_ids_follow_the_event_and_the_revision():
    one, two = decided(office()), decided(office(), revision=2)

    assert one.decision_id != two.decision_id
    assert one.decision_id == decided(office()).decision_id
    assert isinstance(one.decision_id, UUID)


def test_a_decision_joins_its_denial_and_survives_the_wire():
    event = office("197", remarks=["MA01"])
    joined = DenialTriaged.of(event, decided(event))

    assert msgspec.json.decode(msgspec.json.encode(joined), type=DenialTriaged) == joined


def test_a_denial_and_its_decision_are_written_as_the_event_that_joins_them():
    event = office("197", remarks=["MA01"])
    decision = decided(event)

    assert Triaged(event, decision).as_json() == encode(DenialTriaged.of(event, decision))


def test_no_text_of_a_decision_carries_a_claim_number():
    event = office(claim_number="SECRET-CLP01", payer_claim_number="SECRET-CLP07")

    assert b"SECRET" not in msgspec.json.encode(decided(event))


codes = st.sampled_from(
    ["197", "198", "210", "302", "284", "39", "15", "288", "16", "29", "97", "45", "", "ZZ9"]
)
payers = st.sampled_from(
    [policy.file.match.names[0] for policy in POLICIES.policies if policy.file.match.names]
)
days = st.dates(date(2024, 1, 1), date(2028, 12, 31))


@st.composite
def events(draw):
    served = draw(days)
    remitted = served + timedelta(days=draw(st.integers(0, 90)))
    remarks = draw(
        st.lists(
            st.sampled_from(["M62", "N351", "MA01", "MA02", "MA130", "N921", "N864", "N385"]), max_size=3
        )
    )
    one = line(
        remarks=remarks,
        qualifier="HC",
        code=draw(st.sampled_from(["64483", "71260", "97110", None])),
        service_from=served,
    )
    return denial(
        refused(draw(codes)),
        payer=draw(payers),
        filing_indicator=draw(st.sampled_from(["12", "16", "MC", "MA", "CH", None])),
        facility_type=draw(st.sampled_from(["11", "21", "23", None])),
        service_from=served,
        payer_date=remitted,
        lines=[one],
    )


@given(event=events(), day=days, later=st.integers(0, 400))
def test_a_later_day_never_opens_a_clock_again(event, day, later):
    now, then = decided(event, as_of=day), decided(event, as_of=day + timedelta(days=later))

    assert [one.label for one in now.clocks] == [one.label for one in then.clocks]
    for before, after in zip(now.clocks, then.clocks, strict=True):
        if state_of(before, day) == "closed":
            assert state_of(after, day + timedelta(days=later)) == "closed"


@given(event=events(), day=days)
def test_the_same_inputs_give_the_same_bytes(event, day):
    assert msgspec.json.encode(decided(event, as_of=day)) == msgspec.json.encode(decided(event, as_of=day))


told = st.fixed_dictionaries(
    {},
    optional={
        "urgency": st.sampled_from(["emergency", "elective"]),
        "line_of_business": st.sampled_from(["commercial", "medicaid"]),
        "service_date": st.dates(date(2026, 2, 1), date(2026, 2, 9)).map(str),
        "admission_date": st.sampled_from(["2026-03-02", "2026-03-02T23:30-06:00"]),
    },
)


@given(given=st.lists(st.tuples(events(), told), min_size=2, max_size=5), day=days)
def test_what_was_decided_before_changes_nothing(given, day):
    remembering = [msgspec.json.encode(decided(event, *facts(**kinds), as_of=day)) for event, kinds in given]
    afresh = []
    for event, kinds in given:
        for cached in REMEMBERED:
            cached.cache_clear()
        afresh.append(msgspec.json.encode(decided(event, *facts(**kinds), as_of=day)))

    assert remembering == afresh


def test_the_day_of_an_instant_is_the_one_that_was_recorded():
    # Equal to Python, whatever decided the one before: on paper they are two days.
    instants = ("2026-03-02T23:30-06:00", "2026-03-03T00:30-05:00")
    event = replace(office(payer="CIGNA"), facility_type="21")
    admitted = [decided(event, *facts(admission_date=instant, urgency="emergency")) for instant in instants]

    days = [{one.anchor_date for one in each.clocks if one.anchor == "admission"} for each in admitted]
    assert days == [{date(2026, 3, 2)}, {date(2026, 3, 3)}]


@given(event=events(), day=days)
def test_what_does_not_matter_changes_nothing(event, day):
    other = replace(
        event,
        claim_number="ANOTHER",
        payer_claim_number="OTHER",
        position=9,
        trace_number="T",
        feed="f",
        payment_method="NON",
        payee=Party(name="ANOTHER CLINIC"),
    )
    with_provider = replace(event, rendering_npi="1234567893")

    assert decided(other, as_of=day) == decided(event, as_of=day)
    # It fills a paper in, and decides nothing.
    assert replace(decided(with_provider, as_of=day), documents=()) == replace(
        decided(event, as_of=day), documents=()
    )


@given(event=events(), day=days)
def test_bounds_stand_in_order_and_exclude_a_deadline(event, day):
    for one in decided(event, as_of=day).clocks:
        assert one.deadline_at is None or (one.earliest is None and one.latest is None)
        assert one.earliest is None or one.latest is None or one.earliest <= one.latest
        assert one.permitted is not False or one.reasons
