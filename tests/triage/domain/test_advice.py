"""What to do next: the closed vocabulary, the steps in order, the papers, and who may be billed."""

from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from services.triage.domain.actions import ACTION_WORDS
from services.triage.domain.decide import decide
from services.triage.domain.meanings import CARC_MEANINGS, RARC_MEANINGS
from services.triage.policies import shipped_policies
from shared.calendars import Calendar
from shared.contracts.claim import Reference
from shared.contracts.decision import Action
from tests.triage.domain.denials import denial, fact, facts, line, refused

POLICIES = shipped_policies()
DAY = date(2026, 3, 21)
LATE = date(2027, 3, 21)


def decided(event, *told, as_of=DAY):
    return decide(event, told, POLICIES, Calendar(), as_of)


def office(code="197", *, payer="PRIORITY HEALTH", filing="12", remarks=(), group="CO", **changes):
    one = line(remarks=remarks, qualifier="HC", code="64483", service_from=date(2026, 3, 2))
    return denial(
        refused(code, group=group),
        **{"payer": payer, "filing_indicator": filing, "facility_type": "11", "lines": [one]} | changes,
    )


def echoing(event):
    return replace(event, authorization_numbers=(Reference(qualifier="G1", value="INVENTED"),))


FOUND = fact("authorization_found", "INVENTED")
REACHED = [
    ("search_existing_authorization", office(payer="NO SUCH PLAN"), (), DAY),
    ("check_authorization_on_file", echoing(office()), (), DAY),
    ("request_retro_authorization", office(), (), DAY),
    ("request_extension", office("198"), (), DAY),
    ("request_date_change", office("302"), (), DAY),
    ("amend_authorization", office("284"), (), DAY),
    ("obtain_referral", office("288"), (), DAY),
    ("request_network_exception", office("242"), (), DAY),
    (
        "notify_payer",
        denial(refused("197"), payer="MISSISSIPPI MEDICAID", filing_indicator="MC", drg="194"),
        facts(urgency="emergency", admission_date="2026-03-20"),
        DAY,
    ),
    ("submit_new_request", office("39", remarks=["N706"]), (), DAY),
    ("request_peer_to_peer", office("39", payer="SUPERIOR HEALTHPLAN", filing="MC"), (), date(2026, 6, 1)),
    ("request_reconsideration", office("210", payer="AETNA"), (), DAY),
    ("appeal", office("39"), (), DAY),
    ("send_corrected_claim", office(), (FOUND,), DAY),
    ("send_records", office("252", remarks=["N706"]), (), DAY),
    ("review_patient_billing", office(group="PR"), (), DAY),
    ("review_write_off", office(), (), LATE),
    ("route_elsewhere", office("29"), (), DAY),
    ("review_by_hand", office("16"), (), DAY),
]


@pytest.mark.parametrize(("action", "event", "told", "day"), REACHED, ids=[row[0] for row in REACHED])
def test_every_action_of_the_vocabulary_is_reached(action, event, told, day):
    found = decided(event, *told, as_of=day)

    assert found.recommended_action == action
    assert found.next_actions
    assert len(found.next_actions) == len(found.next_action_codes)


def test_no_action_is_left_out_above():
    assert [row[0] for row in REACHED] == [*dict.fromkeys(row[0] for row in REACHED)]
    assert {row[0] for row in REACHED} == set(Action.__args__) == set(ACTION_WORDS)


@pytest.mark.parametrize("group", ["CO", "PI"])
@pytest.mark.parametrize("day", [DAY, LATE])
def test_what_the_provider_bears_never_leads_to_the_patients_bill(day, group):
    for code in (*CARC_MEANINGS, "ZZ9", ""):
        found = decided(office(code, group=group), as_of=day)
        assert "review_patient_billing" not in (found.recommended_action, *found.next_action_codes)
        if found.auth_related:
            assert any("must not be billed" in text for text in found.explanation)


@pytest.mark.parametrize("code", ["197", "198", "210", "302", "284", "39", "288"])
def test_what_the_payer_puts_on_the_patient_is_reviewed_before_any_bill(code):
    for day in (DAY, LATE):
        found = decided(office(code, group="PR"), as_of=day)
        assert found.recommended_action == found.next_action_codes[0] == "review_patient_billing"
        assert any("before any bill" in reason for reason in found.needs_human_reasons)
        assert any("in its network the provider had to" in text for text in found.explanation)


def test_the_way_that_may_spare_the_patient_keeps_its_date():
    found = decided(office(group="PR"))

    assert "request_retro_authorization" in found.next_action_codes
    assert any("2026-05-31" in step for step in found.next_actions)
    assert "64 days left" in found.explanation[-1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filing": "CH", "payer": "TRICARE EAST"}, "TRICARE holds the patient harmless"),
        ({"filing": "MC", "payer": "NO SUCH PLAN"}, "may as a rule not be billed"),
        ({"remarks": ["N842"]}, "remark N842: the patient cannot be billed"),
        ({"remarks": ["M39"]}, "remark M39: the patient is not liable"),
    ],
)
def test_what_shields_the_patient_against_pr_is_a_reason_to_look(changes, words):
    found = decided(office(group="PR", **changes))

    assert any(words in reason for reason in found.needs_human_reasons)


def test_mixed_groups_bill_nobody():
    event = denial(refused("197"), refused("197", line_number=2, group="PR"), lines=[line(1), line(2)])

    assert any("bill nobody" in text for text in decided(event).explanation)


def test_another_teams_denial_on_the_patient_is_reviewed_as_well():
    assert decided(office("204", group="PR")).next_action_codes == (
        "route_elsewhere",
        "review_patient_billing",
    )
    assert decided(office("204")).next_action_codes == ("route_elsewhere",)


def test_when_all_has_closed_a_person_reviews_the_write_off():
    found = decided(office(), as_of=LATE)

    assert found.next_action_codes[-1] == "review_write_off"
    assert any("every window" in reason for reason in found.needs_human_reasons)
    assert "time 0/40 (all has closed)" in found.explanation[-1]


def test_an_echoed_number_is_checked_then_reconsidered_or_amended():
    found = decided(echoing(office()))

    assert found.next_action_codes[:3] == (
        "check_authorization_on_file",
        "request_reconsideration",
        "amend_authorization",
    )


@pytest.mark.parametrize("remark", ["MA130", "MA113", "N704"])
@pytest.mark.parametrize("code", ["197", "16"])
def test_an_unprocessable_claim_is_sent_again_and_not_appealed(remark, code):
    found = decided(office(code, remarks=[remark]))

    assert found.recommended_action == "send_corrected_claim"
    assert not {"appeal", "request_peer_to_peer"} & set(found.next_action_codes)


@pytest.mark.parametrize("remark", ["N211", "MA44", "N83", "N921"])
def test_where_the_payer_bars_appeals_none_is_advised(remark):
    for code in ("39", "210"):
        found = decided(office(code, remarks=[remark]))
        assert "appeal" not in found.next_action_codes


@pytest.mark.parametrize(
    ("remark", "days"), [("MA01", 120), ("MA02", 180), ("M25", 120), ("M27", 120), ("N887", 60)]
)
def test_a_remark_that_states_the_time_for_an_appeal_starts_its_clock(remark, days):
    found = decided(office("39", payer="NO SUCH PLAN", remarks=[remark]))
    clock = next(one for one in found.clocks if one.policy_id == f"remark-{remark.lower()}")

    assert (clock.deadline_at.date() - date(2026, 3, 20)).days == days
    assert found.recommended_action == "appeal"


def test_where_the_payers_rule_and_its_remark_differ_the_earlier_date_is_advised():
    found = decided(office("39", payer="SUPERIOR HEALTHPLAN", filing="MC", remarks=["MA01"]))

    # 60 days from the notice, which is no later than the remittance of 20 March; MA01 says 120.
    assert "2026-05-19" in found.next_actions[0]
    assert any("2026-07-18" in step for step in found.next_actions[1:])


def test_a_level_that_waits_for_another_is_not_the_next_clock():
    found = decided(office(), as_of=LATE)

    assert not any(text.startswith("Next clock") for text in found.explanation)
    assert not any("prior decision date" in text for text in found.explanation)


def test_an_offered_peer_to_peer_review_is_a_step():
    found = decided(office("39", remarks=["N939"]))

    assert "request_peer_to_peer" in found.next_action_codes


def test_a_secondary_payer_is_asked_whether_it_needs_one_at_all():
    second = decided(office(payer="AETNA", claim_status="2"))
    first = decided(office(payer="AETNA"))

    assert any("came second" in step for step in second.next_actions)
    assert not any("came second" in step for step in first.next_actions)
    assert any("asks for none for this code" in step for step in first.next_actions)


def test_an_emergency_is_a_ground_to_dispute():
    emergency = office(facility_type="23")

    assert any("Emergency care" in step for step in decided(emergency).next_actions)
    assert any(
        "Emergency care" in step for step in decided(office(), *facts(urgency="emergency")).next_actions
    )
    assert not any("Emergency care" in step for step in decided(office()).next_actions)


def test_a_refusal_leaves_an_appeal_even_where_no_rule_is_known():
    assert "appeal" in decided(office("198", payer="NO SUCH PLAN")).next_action_codes


# -- papers -------------------------------------------------------------------------------------------------


def test_the_remittance_fills_in_what_it_knows():
    one = line(code="64483", modifiers=("RT",), units_original=Decimal("2.00"), qualifier="HC")
    event = office(lines=[one], rendering_npi="1234567893", service_to=date(2026, 3, 4))
    first, *rest = decided(event).documents

    assert first == (
        "From the remittance: patient, member id and claim numbers; service 2026-03-02 to 2026-03-04; "
        "64483-RT x2; place of service 11; denied 500.00 of 500.00; rendering NPI 1234567893"
    )
    assert all(text.startswith("Missing: ") for text in rest)
    assert any("diagnoses" in text for text in rest)


def test_what_the_remittance_leaves_out_is_named():
    event = office(service_from=None, service_to=None, service_date_source="none", lines=[line()])
    missing = decided(event).documents[1:]

    assert "Missing: date of service (not on this remittance)" in missing
    assert "Missing: rendering provider (not on this remittance)" in missing


def test_only_the_refused_lines_are_filled_in():
    lines = [line(1, code="11111"), line(2, code="22222")]
    first = decided(denial(refused("197", line_number=2), lines=lines)).documents[0]

    assert "22222" in first
    assert "11111" not in first


def test_another_teams_papers_ask_for_no_authorization():
    for event in (office("16", remarks=["N290"]), office("50")):
        assert not any("authorization" in text or "notice" in text for text in decided(event).documents)


def test_the_patients_review_names_the_papers_of_the_way_that_may_spare_the_bill():
    papers = decided(office(group="PR")).documents

    assert any("network status" in text for text in papers)
    assert any("why no authorization was obtained" in text for text in papers)


def test_the_policys_own_papers_are_named_as_such():
    asked = [
        text for text in decided(office(payer="NO SUCH PLAN")).documents if "the policy asks for it" in text
    ]

    assert len(asked) == 1


# -- what a biller reads ------------------------------------------------------------------------------------


def test_the_explanation_names_codes_policy_source_steps_and_sums():
    found = decided(office())
    text = "\n".join(found.explanation)

    assert "CO-197 on line 1, 500.00: The payer found no authorization" in text
    assert "Source of priority-nonma: https://" in text
    assert "2026-05-31" in text
    assert "money 12/40 ($500.00)" in text
    assert "chance" in text


def test_what_is_unknown_is_said():
    stay = denial(
        refused("197"), payer="PRIORITY HEALTH", filing_indicator="12", drg="470", statement_from=DAY
    )

    assert any(text.startswith("Unknown") and "admission date" in text for text in decided(stay).explanation)


def test_a_way_that_is_surer_ranks_higher():
    unsure, permitted, on_file = (
        decided(office(payer="NO SUCH PLAN")),
        decided(office()),
        decided(echoing(office())),
    )

    assert "0.6;" in unsure.explanation[-1]
    assert "0.8;" in permitted.explanation[-1]
    assert "0.9;" in on_file.explanation[-1]
    assert on_file.priority >= permitted.priority


def test_every_defining_remark_has_a_way_out():
    for remark in RARC_MEANINGS:
        found = decided(office("16", remarks=[remark]))
        assert found.auth_related
        assert found.recommended_action != "review_by_hand"
