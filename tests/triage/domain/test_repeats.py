"""A denial told before keeps the clocks of the earliest remittance; a payment taken back starts new ones."""

from datetime import date
from decimal import Decimal
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.triage.domain.decide import decide
from services.triage.domain.policies import load_policies
from services.triage.policies import shipped_policies
from shared.calendars import Calendar
from shared.contracts.claim import Party, SealedPerson
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_reversed import ClaimReversed
from tests.triage.domain.denials import EVENT, denial, facts, line, refused
from tests.triage.domain.test_policies import SOUND

POLICIES = shipped_policies()
JANUARY, FEBRUARY, MARCH = date(2026, 1, 5), date(2026, 2, 5), date(2026, 3, 20)


def aetna(code="210", **changes):
    """Aetna reconsiders within 180 calendar days of the remittance."""
    changes.setdefault("payer_claim_number", "CLP07")
    one = line(qualifier="HC", code="64483", service_from=date(2025, 12, 2))
    return denial(
        refused(code),
        payer="AETNA",
        filing_indicator="12",
        service_from=date(2025, 12, 2),
        lines=[one],
        **changes,
    )


NOW = aetna(payer_date=MARCH)


def on(day, event=NOW, **changes):
    return replace(event, event_id=uuid5(EVENT, str((day, changes))), payer_date=day, **changes)


def adjudicated(day, paid="500.00", *, kind=ClaimAdjudicated, **changes):
    same = {name: getattr(NOW, name) for name in ClaimAdjudicated.__struct_fields__}
    lines = tuple(replace(one, paid_amount=Decimal(paid)) for one in NOW.lines)
    told = {"event_id": uuid5(EVENT, f"{day}{paid}"), "payer_date": day, "paid_amount": Decimal(paid)}
    return kind(**same | told | {"lines": lines} | changes)


def decided(*history, event=NOW, told=(), policies=POLICIES):
    return decide(event, told, policies, Calendar(), date(2026, 3, 21), history=history)


def reconsideration(decision):
    return next(one for one in decision.clocks if one.kind == "reconsideration")


# 5 January is day 5, + 180 = 185, 4 July. 5 February is day 36, + 180 = 216, 4 August. 20 March: 16 September.
FROM_JANUARY, FROM_FEBRUARY, FROM_MARCH = date(2026, 7, 4), date(2026, 8, 4), date(2026, 9, 16)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((), FROM_MARCH),
        ((on(FEBRUARY),), FROM_FEBRUARY),
        ((on(FEBRUARY), on(JANUARY)), FROM_JANUARY),
        # Reversed and told again: the same denial.
        ((on(JANUARY), adjudicated(FEBRUARY, "0.00", kind=ClaimReversed)), FROM_JANUARY),
        # Paid, then taken back: a new one.
        ((adjudicated(FEBRUARY),), FROM_MARCH),
        ((on(JANUARY), adjudicated(FEBRUARY)), FROM_MARCH),
        ((adjudicated(JANUARY), on(FEBRUARY)), FROM_FEBRUARY),
        # A price told before the service pays nothing.
        ((on(JANUARY), adjudicated(FEBRUARY, claim_status="25")), FROM_JANUARY),
        # Another reason is another denial.
        ((on(JANUARY, aetna("16")),), FROM_MARCH),
        # What came later, or on the same day, tells nothing earlier.
        ((on(date(2026, 4, 1)), on(MARCH)), FROM_MARCH),
        # Another payer, another patient, a test file: another claim under the same number.
        ((on(JANUARY, payer=Party(name="CIGNA")),), FROM_MARCH),
        ((on(JANUARY, is_test=True),), FROM_MARCH),
        # Neither the payer's number nor the days agree.
        ((on(JANUARY, payer_claim_number="X", service_from=date(2025, 1, 1), service_to=date(2025, 1, 1)),), FROM_MARCH),
        # The days agree though the payer renumbered the claim.
        ((on(JANUARY, payer_claim_number="X"),), FROM_JANUARY),
    ],
)  # fmt: skip
def test_the_earliest_telling_since_the_last_payment_governs(history, expected):
    assert reconsideration(decided(*history)).deadline_at.date() == expected


def test_another_patient_is_another_claim():
    someone, other = SealedPerson(name_index="a"), SealedPerson(name_index="b")
    event = replace(NOW, patient=someone)

    assert reconsideration(decided(on(JANUARY, patient=other), event=event)).deadline_at.date() == FROM_MARCH
    assert (
        reconsideration(decided(on(JANUARY, patient=someone), event=event)).deadline_at.date() == FROM_JANUARY
    )


def test_a_telling_that_may_be_of_another_claim_gives_a_range():
    undated = on(JANUARY, payer_claim_number=None, service_from=None, service_to=None)
    clock = reconsideration(decided(undated))

    assert clock.deadline_at is None
    assert (clock.earliest.date(), clock.latest.date()) == (FROM_JANUARY, FROM_MARCH)


def test_a_denial_of_another_service_was_no_telling_of_this_one():
    other = on(JANUARY, lines=(line(qualifier="HC", code="71260", service_from=date(2025, 12, 2)),))

    assert reconsideration(decided(other)).deadline_at.date() == FROM_MARCH


def test_a_part_that_was_paid_takes_nothing_back_while_the_rest_stays_refused():
    partly = replace(
        on(JANUARY),
        paid_amount=Decimal(80),
        lines=(*NOW.lines, line(2, qualifier="HC", code="99213", paid_amount=Decimal(80))),
    )

    assert reconsideration(decided(partly)).deadline_at.date() == FROM_JANUARY


def test_the_clock_says_which_remittance_it_counts_from_and_the_decision_what_happened():
    repeated, taken_back = decided(on(JANUARY)), decided(adjudicated(FEBRUARY))

    assert reconsideration(repeated).anchor_date == JANUARY
    assert "of the earliest remittance that told this denial" in reconsideration(repeated).anchor_source
    assert "The remittance of 2026-01-05 told this denial first" in repeated.explanation
    assert any(text.startswith("This takes back what the remittance of 2026-02-05 paid") for text in taken_back.explanation)  # fmt: skip


def test_service_anchored_clocks_do_not_move_whatever_came_before():
    retro = [
        next(one for one in decided(*history, event=replace(NOW, denied=(refused("197"),))).clocks if one.kind == "retro_authorization")
        for history in ((), (on(JANUARY, denied=(refused("197"),)),), (adjudicated(FEBRUARY),))
    ]  # fmt: skip

    assert retro[0] == retro[1] == retro[2]


def test_a_payer_that_counts_anew_is_taken_at_its_word():
    text = SOUND.replace('anchors = ["dos_first"]', 'anchors = ["remit_date"]\nrestarts_on_repeat = true')
    anew = load_policies({"a.toml": text.encode()})
    event = replace(NOW, payer=Party(name="PLAN A"), denied=(refused("197"),))
    (clock,) = decided(on(JANUARY, event), event=event, policies=anew).clocks

    assert clock.deadline_at.date() == date(2026, 4, 19)  # 20 March is day 79, + 30 = 109, 19 April


def test_a_letter_younger_than_the_first_telling_does_not_count():
    event = replace(NOW, payer=Party(name="SUPERIOR HEALTHPLAN"), filing_indicator="MC", denied=(refused("39"),))  # fmt: skip
    found = decided(on(JANUARY, event), event=event, told=facts(denial_letter_date="2026-03-18"))
    appeal = next(one for one in found.clocks if one.kind == "appeal_level_1")

    assert appeal.deadline_at.date() == date(2026, 3, 6)  # 5 January is day 5, + 60 = 65, 6 March


observations = st.lists(
    st.one_of(
        st.dates(date(2025, 12, 3), date(2026, 4, 1)).map(on),
        st.dates(date(2025, 12, 3), date(2026, 4, 1)).map(adjudicated),
        st.dates(date(2025, 12, 3), date(2026, 4, 1)).map(lambda day: adjudicated(day, "-500.00", kind=ClaimReversed)),
    ),
    max_size=6,
    unique_by=lambda one: one.payer_date,
)  # fmt: skip


@given(history=observations, order=st.randoms())
def test_the_order_of_arrival_does_not_matter(history, order):
    shuffled = list(history)
    order.shuffle(shuffled)

    assert decided(*shuffled) == decided(*history)


@given(history=observations)
def test_what_came_before_never_gives_more_time(history):
    assert reconsideration(decided(*history)).deadline_at.date() <= FROM_MARCH


def test_ids_are_of_the_event_whatever_came_before():
    assert decided(on(JANUARY)).decision_id == decided().decision_id
    assert isinstance(decided().decision_id, UUID)
