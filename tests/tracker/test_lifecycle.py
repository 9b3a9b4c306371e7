"""The tables of the lifecycle agree with the database and among themselves, and evidence stands over work."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.tracker.domain.allowed import (
    allowed_steps,
    check_day,
    check_duplicate,
    check_given_up,
    check_step,
)
from services.tracker.domain.completing import completed
from services.tracker.domain.fold import denied_claims, fold
from services.tracker.domain.observations import observe
from services.tracker.domain.states import (
    CLOSINGS,
    ENDED_BY_ITSELF,
    LIVE_STATES,
    MOVES,
    STATES,
    ClosedReason,
    PeoplesReason,
    RequestState,
    State,
    StepKind,
)
from services.tracker.domain.steps import Made, Step, read_step, write_step
from services.tracker.domain.work import LATE_PART
from shared.contracts.decision import FollowUp
from shared.errors import ConflictError, DeniedError, InvalidInputError
from tests.tracker.support import DEADLINE, clock, denial, line, outcome

JAN, FEB, MAR, APR = (date(2026, month, 10) for month in (1, 2, 3, 4))
RETRO = {"request": "retro_authorization"}
SUBMIT = {"kind": "submit", **RETRO, "on": "2026-01-12", "channel": "portal"}
ME = uuid4()


def step(kind: str, **told) -> Step:

    return read_step(json.dumps({"kind": kind, **told}, default=str))


def submit(**told) -> Step:
    return step(**{**SUBMIT, **told})


class Story:
    """One claim: what remittances said and what people did, in the order in which it came."""

    def __init__(self, *events):
        self.observations = [observe(event) for event in events]
        self.steps: list[Made] = []
        self.cases = fold(self.observations)

    @property
    def case(self):
        [case] = self.cases
        return case

    @property
    def stands(self):
        return self.case.state, self.case.closed_reason

    def arrives(self, *events):
        self.observations += [observe(event) for event in events]
        self.cases = fold(self.observations, self.cases, steps=self.steps)
        return self

    def does(self, one: Step, role: str = "biller"):
        check_step(self.case, one, role=role, by=ME)
        check_duplicate(one, self.steps)
        [denied] = denied_claims(self.observations, self.cases)
        self.steps.append(
            Made(
                step_id=uuid4(),
                case_id=self.case.case_id,
                number=len(self.steps) + 1,
                step=one,
                evidence=denied.standing.evidence,
                made_at=datetime(2026, 1, 12, tzinfo=UTC) + timedelta(minutes=len(self.steps)),
                made_by=ME,
                made_role=role,
            )
        )
        self.cases = fold(self.observations, self.cases, steps=self.steps)
        return self


async def test_the_database_knows_the_states_and_reasons_of_the_code(select):
    found = await select(
        "select conname, pg_get_constraintdef(oid) as says from pg_constraint"
        " where conrelid = 'tracker.cases'::regclass and conname like 'cases_%_check'"
    )
    checks = {row.conname: set(re.findall(r"'(\w+)'", row.says)) for row in found}

    assert checks["cases_state_check"] == set(STATES) == set(get_args(State))
    assert checks["cases_closed_reason_check"] == set(get_args(ClosedReason))


def test_every_step_has_a_row_and_every_state_a_way_in():
    assert {move.step for move in MOVES} == set(get_args(StepKind))
    by_people = {move.to for move in MOVES} - {None, "before"}
    assert by_people | {"open", "partly_paid", "paid", "reversed"} == set(STATES)
    assert {move.request_to for move in MOVES} - {None} == set(get_args(RequestState))


def test_every_reason_that_people_give_has_a_row_and_a_write_off_needs_a_leader():
    assert {closing.reason for closing in CLOSINGS} == set(get_args(PeoplesReason))
    assert set(get_args(PeoplesReason)) | ENDED_BY_ITSELF == set(get_args(ClosedReason))
    leaders = {closing.reason for closing in CLOSINGS if "biller" not in closing.roles}
    assert leaders == {"written_off", "not_worth_pursuing"}


@pytest.mark.parametrize("state", sorted(LIVE_STATES))
def test_a_live_case_always_allows_to_begin_to_close_and_to_note(state):
    assert {"prepare", "submit", "close", "note", "assign"} <= set(allowed_steps(state, ()))
    assert "reopen" not in allowed_steps(state, ())


@pytest.mark.parametrize("state", sorted(set(STATES) - LIVE_STATES))
def test_a_case_at_rest_allows_no_request_but_to_be_opened_again(state):
    assert not {"prepare", "submit", "determine", "corrected_claim_sent"} & set(allowed_steps(state, ()))
    assert "reopen" in allowed_steps(state, ())


def test_a_step_reads_back_as_it_was_written():
    one = step("determine", **RETRO, on=FEB, outcome="approved", authorization_number="A-7", units="2.5")

    assert read_step(write_step(one)) == one


def test_the_way_from_denial_to_money():
    story = Story(denial(on=JAN))
    states = [story.stands]
    for one in (
        step("prepare", **RETRO),
        submit(),
        step("information_requested", **RETRO, on="2026-01-20", what="notes", due_on="2026-01-30"),
        step("information_sent", **RETRO, on="2026-01-21", channel="fax"),
        step("determine", **RETRO, on="2026-01-28", outcome="approved", authorization_number="A-7"),
        step("corrected_claim_sent", on="2026-01-29"),
    ):
        story.does(one)
        states += [story.stands]
    states.append(story.arrives(outcome("paid", on=FEB)).stands)

    assert [state for state, _ in states] == [
        "open",
        "in_preparation",
        "submitted",
        "information_requested",
        "submitted",
        "approved",
        "corrected_claim_sent",
        "closed",
    ]
    assert story.case.closed_reason == "recovered"
    assert story.case.recovered_payer_amount == 100
    assert [one.state for one in story.case.requests] == ["approved"]


def test_approval_is_no_payment():
    story = Story(denial(on=JAN)).does(submit()).does(step("determine", **RETRO, on=FEB, outcome="approved"))

    assert story.stands == ("approved", None)
    with pytest.raises(ConflictError, match="cannot be closed as recovered"):
        story.does(step("close", reason="recovered"))


def test_denied_twice_goes_back_to_open_and_keeps_its_requests():
    story = Story(denial(on=JAN)).does(submit()).arrives(denial(on=FEB))

    assert story.stands == ("open", None)
    assert [one.state for one in story.case.requests] == ["submitted"]
    assert story.does(step("determine", **RETRO, on=FEB, outcome="denied")).stands == ("denied", None)


def test_a_case_that_a_person_closed_opens_again_with_a_new_denial_and_not_with_a_new_decision():
    first = denial(on=JAN, event="first")
    story = Story(first).does(step("close", reason="not_permitted"))
    again = denial(on=JAN, event="first", decision_revision=2, category="authorization_exceeded")

    assert story.arrives(again).stands == ("closed", "not_permitted")
    assert story.case.category == "authorization_exceeded"
    assert story.arrives(denial(on=FEB)).stands == ("open", None)


def test_a_decision_that_it_is_not_ours_does_not_take_a_case_from_those_who_work_on_it():
    story = Story(denial(on=JAN, event="first")).does(submit())
    elsewhere = denial(
        on=JAN, event="first", decision_revision=2, auth_related=False, category="not_authorization"
    )

    assert story.arrives(elsewhere).stands == ("submitted", None)
    assert Story(denial(on=JAN, event="first")).arrives(elsewhere).stands == ("closed", "not_our_denial")


def test_a_takeback_of_the_recovery_opens_the_case_again():
    story = Story(denial(on=JAN)).does(submit()).arrives(outcome("paid", on=FEB))
    assert story.stands == ("closed", "recovered")

    story.arrives(outcome("reversed", on=MAR, paid=100))

    assert story.stands == ("open", None)
    assert story.case.recovered_payer_amount == 0


def test_a_case_closed_without_money_turns_into_a_recovery_when_money_comes():
    story = Story(denial(on=JAN)).does(step("close", reason="written_off", note="too old"), role="supervisor")

    assert story.stands == ("closed", "written_off")
    assert story.arrives(outcome("paid", on=FEB)).stands == ("closed", "recovered")


def test_reopening_goes_back_to_where_the_remittances_have_it():
    partly = Story(denial(on=JAN), outcome("paid", on=FEB, paid=40)).does(step("close", reason="recovered"))
    assert partly.stands == ("closed", "recovered")
    assert partly.case.recovered_payer_amount == 40

    partly.does(step("reopen", note="the rest is worth it"))

    assert (partly.stands, partly.case.recovered_payer_amount) == (("partly_paid", None), 0)
    assert len(partly.case.deadlines) == 1


def test_what_is_undone_leaves_the_case_where_the_rest_has_it():
    story = Story(denial(on=JAN)).does(submit(request="appeal")).does(step("prepare", **RETRO))
    assert story.stands == ("in_preparation", None)

    story.does(step("withdraw", **RETRO, reason="the appeal is enough"))
    assert story.stands == ("submitted", None)
    story.does(step("close", reason="expired")).does(step("reopen", note="it was not"))
    assert story.stands == ("submitted", None)
    assert story.does(step("withdraw", request="appeal", reason="x")).stands == ("open", None)


def test_a_write_off_needs_a_supervisor_and_words():
    story = Story(denial(on=JAN))

    with pytest.raises(DeniedError, match="biller may not close a case as written_off"):
        story.does(step("close", reason="written_off", note="too old"))
    with pytest.raises(ValueError, match="needs a note"):
        step("close", reason="written_off")


def test_a_refusal_names_the_state_the_step_and_what_is_allowed():
    with pytest.raises(ConflictError) as refused:
        Story(denial(on=JAN)).does(step("determine", **RETRO, on=FEB, outcome="approved"))

    assert "retro authorization was not begun" in refused.value.message
    assert "determine" in refused.value.message
    assert "Allowed now: prepare, submit" in (refused.value.remedy or "")


def test_the_same_is_not_submitted_twice_without_a_reason():
    story = Story(denial(on=JAN)).does(submit())

    with pytest.raises(ConflictError, match="submitted for this claim before, on 2026-01-12"):
        story.does(submit(on="2026-01-20"))
    story.does(submit(request="appeal")).does(submit(request="appeal", level=2))
    story.does(submit(on="2026-01-20", duplicate_reason="the payer lost it"))

    assert [(one.kind, one.level, one.superseded) for one in story.case.requests] == [
        ("retro_authorization", 1, True),
        ("appeal", 1, False),
        ("appeal", 2, False),
        ("retro_authorization", 1, False),
    ]


def test_a_request_that_went_out_meets_its_clock_until_the_payer_denies_again():
    retro, appeal = clock(), clock(kind="appeal_level_1", zone="America/Chicago")
    story = Story(denial(on=JAN, clocks=(retro, appeal))).does(submit())
    assert story.case.deadline_zones == ("America/Chicago",)

    story.arrives(denial(on=FEB, clocks=(retro,)))

    assert story.case.deadline_zones == ("America/New_York",)


def test_the_payers_question_has_an_end_in_its_zone_until_it_is_answered():
    story = Story(denial(on=JAN)).does(submit())
    asked = step(
        "information_requested", **RETRO, on=FEB, what="x", due_on="2026-02-20", zone="America/Chicago"
    )

    assert story.does(asked).case.information_due_at == datetime(2026, 2, 21, 5, 59, 59, tzinfo=UTC)
    assert (
        story.does(step("information_sent", **RETRO, on=FEB, channel="fax")).case.information_due_at is None
    )


def test_tags_assignee_and_papers_are_those_put_there_last():
    story = Story(denial(on=JAN))
    for one in (
        step("tag", tag="mri"),
        step("tag", tag="a"),
        step("untag", tag="mri"),
        step("assign", assignee_id=ME),
        step("document_checked", document="notes"),
        step("document_checked", document="letter"),
        step("document_unchecked", document="notes"),
    ):
        story.does(one)

    assert (story.case.tags, story.case.assignee_id, story.case.documents_checked) == (
        ("a",),
        ME,
        ("letter",),
    )
    assert story.stands == ("open", None)
    with pytest.raises(DeniedError, match="not give it away"):
        story.does(step("assign", assignee_id=uuid4()))


def test_the_steps_of_a_merged_case_go_along():
    first = denial(on=JAN, payer_claim_number="P-1")
    span = {"service_from": date(2026, 5, 1), "service_to": date(2026, 5, 1)}
    second = denial(on=FEB, payer_claim_number="P-2", **span)
    observations = [observe(first), observe(second)]
    known = fold(observations)
    made = Made(
        step_id=uuid4(),
        case_id=known[1].case_id,
        number=1,
        step=step("tag", tag="mri"),
        evidence=uuid4(),
        made_at=datetime(2026, 2, 1, tzinfo=UTC),
        made_by=ME,
        made_role="biller",
    )
    known = fold(observations, known, steps=[made])
    assert [case.tags for case in known] == [(), ("mri",)]
    bridge = outcome("zero", on=MAR, service_from=date(2026, 1, 2), service_to=date(2026, 5, 1))

    survivor, merged = fold([*observations, observe(bridge)], known, steps=[made])

    assert (survivor.tags, survivor.steps_count, merged.merged_into) == (("mri",), 1, survivor.case_id)


@pytest.mark.parametrize(
    ("told", "on", "asked"),
    [
        (None, date(2026, 1, 12), date(2026, 1, 26)),
        (None, date(2026, 1, 5), date(2026, 1, 20)),  # 19 January is Martin Luther King's day
        (FollowUp(days=14, usual_only=True), date(2026, 1, 5), date(2026, 1, 19)),  # and this payer works
        (FollowUp(days=7, closed=(date(2026, 1, 19),)), date(2026, 1, 12), date(2026, 1, 20)),
        (FollowUp(days=5), date(2026, 1, 12), date(2026, 1, 20)),  # Saturday, Sunday, the holiday
    ],
)
def test_the_next_day_to_ask_is_the_payers_interval_later_and_one_on_which_it_works(told, on, asked):
    story = Story(denial(on=JAN, follow_up=told))
    [denied] = denied_claims(story.observations, story.cases)

    assert completed(submit(on=on), story.case, denied.standing).follow_up_on == asked
    named = submit(on=on, follow_up_on=FEB)
    assert completed(named, story.case, denied.standing) == named


def test_asking_goes_on_while_something_waits_and_ends_with_the_answer():
    story = Story(denial(on=JAN)).does(submit(follow_up_on="2026-01-26"))
    [denied] = denied_claims(story.observations, story.cases)
    asked = step("follow_up_done", on="2026-01-26", outcome="still in review")

    story.does(completed(asked, story.case, denied.standing))
    assert story.case.follow_up_on == date(2026, 2, 9)
    story.does(step("determine", **RETRO, on=FEB, outcome="denied"))
    assert story.case.follow_up_on is None
    assert completed(asked, story.case, denied.standing).next_on is None


def test_asking_goes_on_while_another_request_waits_than_the_one_that_was_answered():
    story = Story(denial(on=JAN)).does(submit()).does(step("peer_to_peer", on="2026-01-20", outcome="denied"))
    [denied] = denied_claims(story.observations, story.cases)
    asked = step("follow_up_done", on="2026-01-26", outcome="still in review")

    assert story.case.state == "denied"
    assert completed(asked, story.case, denied.standing).next_on == date(2026, 2, 9)


@pytest.mark.parametrize(
    "told",
    [
        SUBMIT,
        {"kind": "information_requested", **RETRO, "what": "notes"},
        {"kind": "information_sent", **RETRO, "channel": "fax"},
        {"kind": "determine", **RETRO, "outcome": "approved"},
        {"kind": "peer_to_peer", "outcome": "denied"},
        {"kind": "corrected_claim_sent"},
        {"kind": "follow_up_done", "outcome": "asked"},
    ],
    ids=lambda told: told["kind"],
)
def test_what_was_done_was_done_on_a_day_that_has_come_somewhere(told):
    now = datetime(2026, 1, 12, 10, 30, tzinfo=UTC)  # the 13th has begun on Kiritimati, and nowhere the 14th
    for day in ("2026-01-12", "2026-01-13"):
        check_day(read_step(json.dumps({**told, "on": day})), at=now)
    for day in ("2026-01-14", "2027-01-12"):
        with pytest.raises(InvalidInputError):
            check_day(read_step(json.dumps({**told, "on": day})), at=now)


def test_what_is_planned_lies_ahead():
    now = datetime(2026, 1, 12, 10, 30, tzinfo=UTC)
    for told in (
        step("follow_up_scheduled", on="2026-02-01"),
        step("peer_to_peer", on=FEB, outcome="scheduled"),
    ):
        check_day(told, at=now)
    check_day(step("note", note="no day at all"), at=now)


def part(name: str, **given):
    """A part of a claim that one remittance denies in two."""
    return denial(on=JAN, event=name, **given)


def test_a_late_part_of_a_denial_adds_to_the_case_and_takes_no_work_away():
    story = Story(part("first")).does(submit())
    story.arrives(part("second", charge=50))

    assert story.stands == ("submitted", None)
    assert (story.case.denied_amount, story.case.amount_at_stake) == (150, 150)
    assert [one.state for one in story.case.requests] == ["submitted"]
    assert (story.case.needs_human, story.case.needs_human_reasons) == (True, (LATE_PART,))


def test_the_clocks_of_a_late_part_run_until_somebody_acts_on_it():
    retro, later = clock(), clock(DEADLINE + timedelta(days=3))
    story = Story(part("first", clocks=(retro,))).does(submit())
    assert story.case.deadlines == ()

    story.arrives(part("second", clocks=(later,)))
    assert story.case.deadlines == (later.deadline_at,)
    story.does(submit(on="2026-01-20", duplicate_reason="for the part that came late as well"))

    assert (story.case.deadlines, story.case.needs_human) == ((), False)


def test_what_a_person_closed_before_a_late_part_came_is_open_again():
    closed = Story(part("first")).does(step("close", reason="not_permitted"))
    assert closed.arrives(part("second")).stands == ("open", None)

    sent = Story(part("first")).does(submit()).does(step("close", reason="expired"))
    assert sent.arrives(part("second")).stands == ("submitted", None)


def test_a_part_that_changes_where_the_money_stands_sets_the_case_anew():
    story = Story(part("first", lines=(line(1, "A"),)), outcome("paid", on=FEB, lines=(line(1, "A"),)))
    assert story.stands == ("closed", "recovered")

    assert story.arrives(part("second", lines=(line(1, "B"),))).stands == ("open", None)


def test_the_late_part_of_a_payment_leaves_the_work_for_the_rest_as_it_is():
    story = Story(denial(on=JAN), outcome("paid", on=FEB, paid=20, event="one")).does(
        submit(request="appeal")
    )
    assert story.stands == ("submitted", None)

    story.arrives(outcome("paid", on=FEB, paid=30, event="two"))
    assert (story.stands, story.case.paid_amount) == (("submitted", None), 50)
    assert story.arrives(outcome("paid", on=MAR, paid=60)).stands == ("closed", "recovered")


@given(order=st.permutations(["first", "second", "third"]))
def test_in_whatever_order_parts_come_the_work_stands(order):
    first, *later = [part(name, charge=10 * number) for number, name in enumerate(order, 1)]
    story = Story(first).does(submit())
    for one in later:
        story.arrives(one)

    assert story.stands == ("submitted", None)
    assert fold(story.observations, steps=story.steps) == story.cases


def test_closing_as_too_late_while_a_clock_may_run_needs_words():
    now, late = datetime(2026, 3, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    case = Story(denial()).case

    for reason in ("expired", "not_permitted"):
        with pytest.raises(ConflictError, match=r"may run until 2099-03-31 \(America"):
            check_given_up(case, step("close", reason=reason), at=now)
        check_given_up(case, step("close", reason=reason, note="the payer takes none, by phone"), at=now)
        check_given_up(case, step("close", reason=reason), at=late)
    check_given_up(case, step("close", reason="duplicate"), at=now)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "😀", "../UTC", "America", "a\x00b"])
def test_a_zone_that_nobody_knows_is_no_step(zone):
    asked = {"kind": "information_requested", "request": "appeal", "on": "2026-02-10", "what": "x"}
    with pytest.raises(ValidationError):
        read_step(json.dumps({**asked, "zone": zone}))
