"""What must hold for every denial: money adds up, and the order of the lines is nobody's business."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.triage.domain.classification import NOT_ABOUT_AUTHORIZATION
from services.triage.domain.decide import decide
from services.triage.domain.meanings import CARC_MEANINGS
from services.triage.policies import shipped_policies
from shared.calendars import Calendar
from tests.triage.domain.denials import denial, line, refused

POLICIES = shipped_policies()

cents = st.integers(1, 5_000_00).map(lambda amount: Decimal(amount) / 100)
reasons = st.one_of(
    st.sampled_from(["197", "198", "302", "284", "39", "15", "97", "B15", "16", "96", "29", "50"]),
    st.sampled_from(sorted(CARC_MEANINGS)),
    st.sampled_from(["", "ZZ9"]),
)
remarks = st.lists(
    st.sampled_from(["M62", "N351", "N54", "N385", "MA01", "MA130", "N290", "N130", "N640", "XX9"]),
    max_size=2,
)


@st.composite
def claims(draw):
    count = draw(st.integers(1, 4))
    lines = [
        line(number, charge=str(draw(cents)), remarks=draw(remarks), code="64483")
        for number in range(1, count + 1)
    ]
    places = st.sampled_from([None, *range(1, count + 1)])
    denied = draw(
        st.lists(
            st.builds(
                lambda code, amount, place, group: refused(code, str(amount), line_number=place, group=group),
                reasons,
                cents,
                places,
                st.sampled_from(["CO", "PR", "OA", "PI"]),
            ),
            min_size=1,
            max_size=6,
        )
    )
    return denial(*denied, lines=lines, remarks=draw(remarks), payer=draw(st.sampled_from(["AETNA", "X"])))


def decided(event):
    return decide(event, (), POLICIES, Calendar(), event.received_on)


@given(event=claims())
def test_the_items_that_count_add_up_to_the_amount_at_stake(event):
    found = decided(event)
    counted = [
        item
        for item in found.items
        if not found.auth_related or item.category not in NOT_ABOUT_AUTHORIZATION or item.dependent
    ]

    assert sum(item.amount for item in counted) == found.amount_at_stake
    assert sum(item.amount for item in found.items) == sum(one.amount for one in event.denied)
    assert len(found.items) == len(event.denied)


@given(event=claims(), data=st.data())
def test_the_order_of_lines_and_adjustments_changes_neither_kind_nor_money(event, data):
    other = replace(
        event,
        denied=tuple(data.draw(st.permutations(event.denied))),
        lines=tuple(data.draw(st.permutations(event.lines))),
    )
    one, two = decided(event), decided(other)

    for name in ("category", "route", "auth_related", "amount_at_stake", "amount_basis", "responsible_party"):
        assert getattr(one, name) == getattr(two, name)
    assert (one.recommended_action, one.confidence, one.priority) == (
        two.recommended_action,
        two.confidence,
        two.priority,
    )
    assert sorted(map(str, one.items)) == sorted(map(str, two.items))


@given(event=claims())
def test_an_authorization_on_any_line_leads_and_the_rest_is_left_out(event):
    found = decided(event)
    about = [item for item in found.items if item.category not in NOT_ABOUT_AUTHORIZATION]

    assert found.auth_related == bool(about)
    assert not about or found.category in {item.category for item in about}
    assert found.needs_human == bool(found.needs_human_reasons)
