"""The fold, case by case. The property that order does not matter is in test_fold_properties.py."""

from datetime import UTC, date, datetime
from decimal import Decimal

from services.tracker.domain.cases import UNCERTAIN, Case, case_id_of
from services.tracker.domain.fold import fold
from services.tracker.domain.lifecycle import (
    ANOTHER_REASON,
    AT_ZERO,
    DUPLICATE,
    OTHER_SERVICES,
    STRAY_REVERSAL,
    TOO_LITTLE,
)
from services.tracker.domain.observations import observe, read_observation
from shared.contracts.base import encode
from shared.contracts.claim import Adjustment, Party
from shared.contracts.claim_denied import DeniedAdjustment
from tests.tracker.support import KEY, ORGANIZATION, clock, denial, line, outcome, person

JAN, FEB, MAR, APR = date(2026, 1, 10), date(2026, 2, 10), date(2026, 3, 10), date(2026, 4, 10)


def cases_of(*events, known=()) -> list[Case]:
    return fold([observe(event) for event in events], known)


def only(*events) -> Case:
    [case] = cases_of(*events)
    return case


def ended(case):
    return case.state, case.closed_reason


def test_a_stored_decision_reads_as_the_one_in_hand():
    event = denial(lines=(line(),), clocks=(clock(),))

    assert read_observation(encode(event)) == observe(event)
    assert read_observation(encode(outcome("reversed"))).outcome == "reversed"


def test_a_denial_opens_a_case_with_its_deadline_and_a_derived_id():
    case = only(denial())

    assert (case.state, case.denied_amount, case.amount_at_stake) == ("open", 100, 100)
    assert case.case_id == case_id_of(ORGANIZATION, KEY, 0)
    assert [one.year for one in case.deadlines] == [2099]


def test_deadlines_leave_out_the_forbidden_and_take_both_bounds_of_the_uncertain():
    early, late = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    forbidden = clock(datetime(2026, 1, 15, tzinfo=UTC), permitted=False)
    uncertain = clock(None, permitted=None, earliest=early, latest=late)

    case = only(denial(clocks=(forbidden, uncertain, clock(zone="America/Detroit"))))

    assert case.deadlines == (early, late, clock().deadline_at)
    assert case.deadline_zones == ("America/New_York", "America/New_York", "America/Detroit")


def test_outcomes_without_any_denial_make_no_case():
    assert cases_of(outcome("reversed"), outcome("paid")) == []


def test_a_later_payment_of_all_that_was_denied_closes_the_case_as_recovered():
    case = only(denial(on=JAN), outcome("paid", on=FEB))

    assert ended(case) == ("closed", "recovered")
    assert (case.paid_amount, case.recovered_payer_amount, case.deadlines) == (100, 100, ())


def test_what_is_left_to_the_patient_is_recovered_too_and_told_apart():
    owed = (
        Adjustment(group="PR", reason="1", amount=Decimal(30)),
        Adjustment(group="CO", reason="45", amount=20),
    )

    case = only(denial(on=JAN), outcome("paid", on=FEB, paid=50, adjustments=owed))

    assert ended(case) == ("closed", "recovered")
    assert (case.recovered_payer_amount, case.recovered_patient_amount) == (50, 30)


def test_an_adjudication_that_goes_to_the_deductible_alone_is_a_recovery():
    owed = (Adjustment(group="PR", reason="1", amount=Decimal(100)),)

    case = only(denial(on=JAN), outcome("zero", on=FEB, adjustments=owed))

    assert ended(case) == ("closed", "recovered")
    assert (case.recovered_payer_amount, case.recovered_patient_amount, case.needs_human) == (0, 100, False)


def test_a_payment_of_less_than_a_tenth_of_what_was_denied_is_left_to_a_person():
    reduced = (Adjustment(group="CO", reason="45", amount=Decimal("90.01")),)

    case = only(denial(on=JAN), outcome("paid", on=FEB, paid=Decimal("9.99"), adjustments=reduced))

    assert (ended(case), case.needs_human_reasons) == (("paid", None), (TOO_LITTLE,))
    assert (case.recovered_payer_amount, case.recovered_patient_amount) == (0, 0)


def test_a_contractual_reduction_of_the_payment_still_accounts_for_the_denial():
    reduced = (Adjustment(group="CO", reason="45", amount=Decimal(20)),)

    case = only(denial(on=JAN), outcome("paid", on=FEB, paid=80, adjustments=reduced))

    assert (ended(case), case.paid_amount) == (("closed", "recovered"), 80)


def test_a_payment_of_less_than_was_denied_makes_the_case_partly_paid_and_keeps_its_clocks():
    case = only(denial(on=JAN), outcome("paid", on=FEB, paid=40))

    assert (case.state, case.paid_amount, len(case.deadlines)) == ("partly_paid", 40, 1)


def test_reversal_and_correction_count_only_the_money_that_is_new():
    first = denial(on=JAN, charge=200, paid=100, amount=100)
    case = only(
        first,
        outcome("reversed", on=FEB, charge=200, paid=100),
        outcome("paid", on=FEB, position=2, charge=200),
    )

    assert (ended(case), case.paid_amount) == (("closed", "recovered"), 100)


def test_a_reversal_dated_before_a_lost_original_arrived_takes_it_back_all_the_same():
    reversal, original = outcome("reversed", on=FEB), denial(on=JAN)

    assert only(reversal, original).state == "reversed"


def test_a_takeback_of_the_payment_opens_the_case_again():
    story = [denial(on=JAN), outcome("paid", on=FEB), outcome("reversed", on=MAR, paid=100)]

    assert only(*story).state == "open"


def test_a_takeback_that_denies_makes_the_new_denial_the_current_one():
    again = denial(on=MAR, position=2)
    story = [outcome("paid", on=FEB), outcome("reversed", on=MAR, paid=100), again]

    case = only(denial(on=JAN), *story)

    assert (case.state, case.current_event_id, case.denied_on) == ("open", again.event_id, MAR)


def test_a_reversal_followed_by_an_equal_denial_in_one_remittance_leaves_the_case_open():
    first, again = denial(on=JAN), denial(on=FEB, position=2)
    for story in ([first, outcome("reversed", on=FEB), again], [outcome("reversed", on=FEB), again]):
        case = only(*story)
        assert (case.state, case.current_event_id) == ("open", again.event_id)


def test_a_correction_placed_before_the_reversal_counts():
    correction, reversal = outcome("paid", on=FEB, position=1), outcome("reversed", on=FEB, position=2)

    assert only(denial(on=JAN), correction, reversal).closed_reason == "recovered"


def test_a_denial_and_its_reversal_inside_one_remittance_never_stand_open():
    case = only(denial(on=JAN, position=1), outcome("reversed", on=JAN, position=2))

    assert (case.state, case.deadlines) == ("reversed", ())


def test_a_partial_reversal_is_left_to_a_person():
    case = only(denial(on=JAN), outcome("reversed", on=FEB, charge=40))

    assert (case.state, case.needs_human_reasons) == ("open", (STRAY_REVERSAL,))


def test_a_later_adjudication_at_zero_is_left_to_a_person():
    case = only(denial(on=JAN), outcome("zero", on=FEB))

    assert (case.state, case.needs_human, case.needs_human_reasons) == (
        "open",
        True,
        (AT_ZERO,),
    )


def test_a_predetermination_with_a_price_answers_nothing():
    for priced in (outcome("paid", on=FEB, claim_status="25"), outcome("zero", on=FEB, claim_status="25")):
        case = only(denial(on=JAN), priced)
        assert (case.state, case.paid_amount, case.needs_human_reasons) == ("open", 0, ())


def test_a_repeated_denial_updates_and_does_not_multiply():
    case = only(denial(on=JAN), denial(on=FEB, priority=90))

    assert (case.denied_amount, case.denied_on, case.priority) == (100, FEB, 90)


def test_a_later_decision_of_the_same_event_replaces_the_earlier():
    case = only(denial(event="e", decision_revision=2, priority=9), denial(event="e", priority=5))

    assert (case.current_decision_revision, case.priority, len(case.event_ids)) == (2, 9, 1)


def test_a_higher_reader_revision_wins_over_a_higher_decision_revision():
    case = only(denial(event="e", revision=1, decision_revision=5), denial(event="e", revision=2, charge=70))

    assert (case.current_revision, case.denied_amount) == (2, 70)


def test_the_other_part_of_a_split_claim_is_not_its_payment():
    paid_part = outcome("paid", on=JAN, position=2, payer_claim_number="P-2", charge=50)

    assert only(denial(on=JAN, charge=50), paid_part).state == "open"


def test_both_denied_parts_of_a_split_claim_count():
    second = denial(
        on=JAN, position=2, payer_claim_number="P-2", charge=50, auth_related=False, category="unclear"
    )

    case = only(denial(on=JAN, charge=100), second)

    assert (case.denied_amount, case.charge_amount, case.auth_related) == (150, 150, True)


def test_a_later_payment_of_other_services_is_left_to_a_person():
    denied = denial(
        on=JAN,
        lines=(line(1, "70450"),),
        denied=(DeniedAdjustment(group="CO", reason="197", amount=Decimal(9), line_number=1),),
    )

    case = only(denied, outcome("paid", on=FEB, lines=(line(1, "99213"),)))

    assert (case.state, case.needs_human_reasons) == ("open", (OTHER_SERVICES,))


def test_a_denial_that_does_not_concern_authorization_closes_at_once():
    case = only(denial(auth_related=False, category="not_authorization"))

    assert (case.state, case.closed_reason, case.deadlines) == ("closed", "not_our_denial", ())


def test_a_remittance_that_pays_some_and_denies_the_rest_again_leaves_the_case_partly_paid():
    again = denial(on=FEB, charge=100, paid=40, amount=50)

    case = only(denial(on=JAN, charge=100), again)

    assert (case.state, case.paid_amount, case.denied_amount) == ("partly_paid", 40, 50)
    assert (case.current_event_id, len(case.deadlines)) == (again.event_id, 1)


def test_what_was_paid_in_parts_is_all_recovered():
    story = [denial(on=JAN, charge=100), denial(on=FEB, charge=100, paid=40, amount=50)]

    rest, anew = ((Adjustment(group="CO", reason="45", amount=Decimal(some)),) for some in (5, 15))
    reversal = outcome("reversed", on=MAR, charge=100, paid=40)

    added = only(*story, outcome("paid", on=MAR, charge=50, paid=45, adjustments=rest))
    replaced = only(
        *story, reversal, outcome("paid", on=MAR, position=2, charge=100, paid=85, adjustments=anew)
    )
    taken_back = only(*story, reversal)

    assert (ended(added), added.recovered_payer_amount) == (("closed", "recovered"), 85)
    assert (ended(replaced), replaced.recovered_payer_amount) == (("closed", "recovered"), 85)
    assert (taken_back.state, taken_back.paid_amount) == ("open", 0)


def test_a_denial_of_the_same_part_again_wins_nothing():
    first = denial(on=JAN, charge=100, paid=60, amount=40)

    case = only(first, denial(on=FEB, charge=100, paid=60, amount=40))

    assert (case.state, case.paid_amount) == ("open", 0)


def test_a_closed_case_needs_nobody_and_a_paid_one_only_for_its_money():
    unsure = {"needs_human": True, "needs_human_reasons": ("the deadline is uncertain",)}
    reduced = (Adjustment(group="CO", reason="45", amount=Decimal(99)),)

    recovered = only(denial(on=JAN, **unsure), outcome("paid", on=FEB))
    paid = only(denial(on=JAN, **unsure), outcome("paid", on=FEB, paid=1, adjustments=reduced))
    not_ours = only(denial(auth_related=False, category="not_authorization", **unsure))

    assert (recovered.needs_human, recovered.needs_human_reasons) == (False, ())
    assert (paid.needs_human, paid.needs_human_reasons) == (True, (TOO_LITTLE,))
    assert (not_ours.needs_human, len(not_ours.needs_human_reasons)) == (True, 1)


def another_reason(route, **given):
    return denial(auth_related=False, category="not_authorization", route=route, **given)


def test_what_is_refused_as_a_duplicate_leaves_the_denial_its_clocks_and_asks_a_person():
    first, again = denial(on=JAN), another_reason("duplicate", on=FEB, payer_claim_number="P-2")

    case = only(first, again)

    assert (case.state, case.current_event_id, case.denied_on) == ("open", first.event_id, JAN)
    assert (len(case.deadlines), case.needs_human_reasons) == (1, (DUPLICATE,))


def test_a_recovery_stands_when_a_copy_of_the_claim_is_refused_as_a_duplicate():
    story = [denial(on=JAN), outcome("paid", on=FEB), another_reason("duplicate", on=MAR)]

    case = only(*story)

    assert (ended(case), case.recovered_payer_amount) == (("closed", "recovered"), 100)
    assert (case.needs_human, len(case.event_ids)) == (False, 3)


def test_a_duplicate_without_any_other_denial_is_not_ours():
    assert only(another_reason("duplicate")).closed_reason == "not_our_denial"
    assert (
        only(outcome("paid", on=JAN), another_reason("duplicate", on=FEB)).closed_reason == "not_our_denial"
    )


def test_a_denial_for_authorization_stays_a_case_when_the_payer_gives_another_reason():
    for route in ("timely_filing", "medical_necessity", "eligibility", "missing_information"):
        again = another_reason(route, on=FEB)

        case = only(denial(on=JAN), again)

        assert (case.state, case.current_event_id) == ("open", again.event_id)
        assert (case.needs_human, case.needs_human_reasons) == (True, (ANOTHER_REASON,))


def test_a_denial_that_was_taken_back_and_made_anew_for_another_reason_stays_a_case():
    reversal, again = outcome("reversed", on=FEB), another_reason("timely_filing", on=FEB, position=2)

    case = only(denial(on=JAN), reversal, again)

    assert (case.state, case.needs_human_reasons) == ("open", (ANOTHER_REASON,))


def test_a_denial_that_never_was_about_authorization_stays_closed_when_it_is_repeated():
    assert only(another_reason("coding", on=JAN), another_reason("coding", on=FEB)).state == "closed"


def test_a_reused_claim_number_makes_a_case_per_patient():
    assert len(cases_of(denial(patient=person("ada")), denial(patient=person("ben", "m1")))) == 2


def test_a_reused_claim_number_makes_a_case_per_payer():
    other = Party(name="Other Plan")

    assert len(cases_of(denial(), denial(payer=other))) == 2


def test_a_reused_claim_number_makes_a_case_per_date_of_service():
    other_day = {"service_from": date(2026, 5, 1), "service_to": date(2026, 5, 1)}

    assert len(cases_of(denial(), denial(payer_claim_number="P-9", **other_day))) == 2
    assert len(cases_of(denial(), denial(payer_claim_number="P-1", **other_day))) == 1


def test_a_corrected_patient_joins_the_old_name_and_the_new():
    baby = person("baby", "m2")
    story = [
        denial(on=JAN, patient=person("mother", "m1")),
        outcome("zero", on=FEB, patient=person("mother", "m1"), corrected_patient=baby),
        outcome("paid", on=MAR, patient=baby),
    ]

    assert only(*story).closed_reason == "recovered"
    assert len(only(*story).event_ids) == 3


def test_a_correction_of_the_member_id_alone_joins_by_the_id():
    corrected = person(None, "m2")
    story = [denial(on=JAN, patient=person("jon", "m1"), corrected_patient=corrected)]

    assert (
        only(*story, outcome("paid", on=FEB, patient=person("jonathan", "m2"))).closed_reason == "recovered"
    )


def test_a_missing_date_joins_a_single_candidate():
    undated = outcome("paid", on=FEB, service_from=None, service_to=None, payer_claim_number=None)

    assert only(denial(on=JAN), undated).closed_reason == "recovered"


def test_a_missing_date_with_two_candidates_joins_neither_and_asks_a_person():
    first, second = denial(), denial(payer_claim_number="P-2", service_from=date(2026, 5, 1), service_to=None)
    undated = outcome("paid", on=FEB, service_from=None, service_to=None, payer_claim_number=None)

    cases = cases_of(first, second, undated)

    assert [(case.state, case.needs_human_reasons) for case in cases] == [("open", (UNCERTAIN,))] * 2


def test_an_uncertain_denial_gets_a_case_of_its_own_and_takes_none():
    first, undated = (
        denial(on=JAN),
        denial(on=JAN, position=2, service_from=None, service_to=None, payer_claim_number=None),
    )
    known = cases_of(first, undated)
    assert len(known) == 1
    second = denial(payer_claim_number="P-2", service_from=date(2026, 5, 1), service_to=None)

    cases = cases_of(first, undated, second, known=known)

    assert len(cases) == 3
    assert first.event_id in cases[0].event_ids
    assert known[0].case_id == cases[0].case_id


def test_test_files_never_fold_with_production():
    cases = cases_of(denial(on=JAN), denial(on=JAN, is_test=True), outcome("paid", on=FEB, is_test=True))

    assert [(case.is_test, case.state) for case in cases] == [(False, "open"), (True, "closed")]


def test_cases_that_turn_out_to_be_one_keep_the_earliest_id():
    first = denial(on=JAN, payer_claim_number="P-1")
    second = denial(
        on=FEB, payer_claim_number="P-2", service_from=date(2026, 5, 1), service_to=date(2026, 5, 1)
    )
    known = cases_of(first, second)
    bridge = outcome("zero", on=MAR, service_from=date(2026, 1, 2), service_to=date(2026, 5, 1))

    survivor, merged = cases_of(first, second, bridge, known=known)

    assert survivor.case_id == known[0].case_id
    assert len(survivor.event_ids) == 3
    assert (merged.state, merged.closed_reason, merged.merged_into) == ("closed", "merged", survivor.case_id)


def test_a_better_reading_without_the_denial_withdraws_the_case():
    known = cases_of(denial(event="e"))

    [case] = cases_of(denial(event="e"), outcome("paid", event="e", revision=2), known=known)

    assert (case.state, case.closed_reason) == ("closed", "withdrawn")
