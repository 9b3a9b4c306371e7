"""What decide() remembers never shows: the same inputs give the same bytes, whatever was decided before."""

import gc
import re
from datetime import date, timedelta
from decimal import Decimal
from functools import _lru_cache_wrapper
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.triage.domain.decide import decide
from services.triage.domain.policies import load_policies
from services.triage.policies import policy_texts
from shared.calendars import Calendar
from shared.contracts.base import encode
from shared.contracts.claim import BalanceFinding, Party, Reference, Remark
from tests.triage.domain.denials import denial, facts, line, refused

SHIPPED = load_policies(policy_texts())


def replaced(text: bytes) -> bytes:
    """Make a policy whose windows are a day longer, in force from a day on: as if somebody had changed it."""
    longer = re.sub(
        rb"^amount = (\d+)", lambda found: b"amount = %d" % (int(found[1]) + 1), text, flags=re.MULTILINE
    )
    return (
        longer
        if b"default = true" in text or b"effective_" in text
        else b"effective_from = 2026-03-02\n" + longer
    )


REPLACED = load_policies({name: replaced(text) for name, text in policy_texts().items()})

REMEMBERED = [
    one
    for one in gc.get_objects()
    if isinstance(one, _lru_cache_wrapper) and one.__module__.startswith("services.triage.domain")
]
DAY = date(2026, 3, 2)
DAYS = [None, DAY, DAY - timedelta(days=200), date(1950, 1, 1)]
REASONS = ["197", "198", "302", "210", "39", "288", "15", "16", "97", "193", "45", "50", ""]
REMARKS = ["M62", "N351", "MA01", "MA130", "N704", "N842", "N939", "N864"]
UNBALANCED = BalanceFinding(
    level="claim", reported_amount=Decimal(1), computed_amount=Decimal(2), difference=Decimal(1)
)

remarked = st.lists(st.sampled_from([Remark(code=one, source="MOA") for one in REMARKS]), max_size=2).map(
    tuple
)
lines = st.builds(
    line,
    st.integers(1, 2),
    charge=st.sampled_from(["500.00", "80.00"]),
    remarks=st.lists(st.sampled_from(REMARKS), max_size=1),
    number_on_file=st.sampled_from([None, "A1"]),
    code=st.sampled_from(["99213", "99285", "70551", "59400", None]),
    original_code=st.sampled_from([None, "99285"]),
    modifiers=st.sampled_from([(), ("ET",), ("59",)]),
    revenue_code=st.sampled_from([None, "0450", "0110"]),
    units_paid=st.sampled_from([None, Decimal(1), Decimal("2.50")]),
    service_from=st.sampled_from(DAYS),
)
denied = st.builds(
    refused,
    st.sampled_from(REASONS),
    st.sampled_from(["500.00", "80", "0.00", "-5.00", "123456.78"]),
    line_number=st.sampled_from([None, 1, 2]),
    group=st.sampled_from(["CO", "PR"]),
    quantity=st.sampled_from([None, Decimal(2)]),
)
CHANGES = {
    "lines": st.lists(lines, max_size=3).map(tuple),
    "denied": st.lists(denied, min_size=1, max_size=3).map(tuple),
    "remarks": remarked,
    "authorization_numbers": st.sampled_from([(), (Reference(qualifier="G1", value="A1"),)]),
    "balance_findings": st.sampled_from([(), (UNBALANCED,)]),
    "payer": st.sampled_from(
        [Party(name=name) for name in ("AETNA", "UNITEDHEALTHCARE", "PRIORITY HEALTH", "X")]
    ),
    "payer_date": st.sampled_from(
        [date(2026, 3, 20), date(2026, 3, 21), date(2011, 3, 20), date(1970, 1, 1)]
    ),
    "payer_date_source": st.sampled_from(["dtm405", "receipt"]),
    "service_from": st.sampled_from(DAYS),
    "service_to": st.sampled_from(DAYS),
    "service_date_source": st.sampled_from(["line", "claim"]),
    "statement_from": st.sampled_from(DAYS),
    "statement_to": st.sampled_from(DAYS),
    "claim_received_on": st.sampled_from(DAYS),
    "facility_type": st.sampled_from([None, "11", "21", "23"]),
    "frequency": st.sampled_from([None, "2"]),
    "drg": st.sampled_from([None, "775"]),
    "filing_indicator": st.sampled_from([None, "12", "HM", "MC"]),
    "claim_status": st.sampled_from(["1", "2"]),
}
TOLD = [
    [],
    facts(service_category="inpatient"),
    facts(service_category="imaging", network_status="out"),
    facts(prior_decision_date="2026-03-10"),
    facts(urgency="emergency"),
    facts(line_of_business="medicaid"),
    facts(admission_date="2026-03-02T01:30:00+00:00"),
    facts(admission_date="2026-03-01T20:30:00-05:00"),
    facts(service_date="2026-03-02", denial_letter_date="2026-03-18"),
    facts(authorization_found="A1"),
    facts(filing_limit_date="2026-09-01"),
]


ARGUMENTS = {
    "facts": st.sampled_from(TOLD),
    "policies": st.sampled_from([SHIPPED, REPLACED]),
    "calendar": st.sampled_from([Calendar(), Calendar(closed=frozenset([DAY]))]),
    "as_of": st.sampled_from([date(2026, 3, 21), date(2026, 5, 1), date(2027, 3, 21)]),
    "history": st.sampled_from([(), (denial(event_id=UUID(int=8), payer_date=date(2026, 3, 10)),)]),
}


@st.composite
def inputs(draw):
    """Give inputs that differ from the first one in a single field or two: what a memory may confuse."""
    first = {name: draw(values) for name, values in ARGUMENTS.items()}
    first["event"] = denial(payer="AETNA")
    for name in draw(st.sets(st.sampled_from(sorted(CHANGES)), max_size=6)):
        first["event"] = replace(first["event"], **{name: draw(CHANGES[name])})
    found = [first]
    for name in draw(st.lists(st.sampled_from(sorted(CHANGES | ARGUMENTS)), min_size=4, max_size=12)):
        one = dict(draw(st.sampled_from([first, found[-1]])))
        if name in ARGUMENTS:
            one[name] = draw(ARGUMENTS[name])
        else:
            one["event"] = replace(one["event"], **{name: draw(CHANGES[name])})
        found.append(one)
    return found


@given(asked=inputs())
def test_what_was_decided_before_changes_no_byte(asked):
    after_the_others = [encode(decide(**one)) for one in [*asked, *asked]][len(asked) :]

    assert after_the_others == [first_of_all(one) for one in asked]


ALIKE = {
    "": [{}],
    "days": [
        {"payer_date": date(2026, 3, 21)},
        {"payer_date": date(2026, 1, 21)},
        {"payer_date_source": "receipt"},
        {"service_from": DAY, "service_to": DAY},
        {"service_from": DAY, "service_to": DAY + timedelta(days=2)},
        {"service_from": DAY, "service_to": DAY, "service_date_source": "claim"},
        {"service_from": None, "service_to": None, "service_date_source": "none"},
        {"statement_from": DAY - timedelta(days=9), "statement_to": DAY - timedelta(days=3)},
        {"statement_from": DAY - timedelta(days=9), "statement_to": DAY - timedelta(days=1)},
        {"claim_received_on": DAY + timedelta(days=3)},
        {"lines": (line(1, service_from=DAY - timedelta(days=30), service_to=DAY - timedelta(days=30)),)},
    ],
    "codes": [
        {"lines": (line(1, code="70551"),)},
        {"lines": (line(1, code="97110"),)},
        {"lines": (line(1, code="99285"),)},
        {"drg": "470", "facility_type": "11"},
        {"drg": "775", "facility_type": "11"},
        {"facility_type": "13", "frequency": "1"},
        {"filing_indicator": "MC"},
        {"filing_indicator": "16"},
        {"claim_status": "2"},
        {"authorization_numbers": (Reference(qualifier="G1", value="A1"),)},
        {"balance_findings": (UNBALANCED,)},
    ],
    "remarks": [{"remarks": (Remark(code=code, source="MOA"),)} for code in (*REMARKS, "MA02", "N358", "N1")],
    "payer": [{"payer": Party(name=name)} for name in ("TRICARE EAST", "MEDI-CAL", "Y", "CIGNA")],
    "denied": [
        *({"denied": (refused(reason, "500.00", line_number=1),)} for reason in REASONS),
        {"denied": (refused("197", "500.00", line_number=1, group="PR"),)},
        {"denied": (refused("197", "500.00"),)},
        {"denied": (refused("197", "80", line_number=1, quantity=Decimal("2.50")),)},
    ],
}
VISIT = (line(1, code="99213"),)
EARLIER = [denial(event_id=UUID(int=8), payer_date=date(2026, 3, day), lines=VISIT) for day in (10, 12)]
HOLIDAYS = Calendar(closed=frozenset(DAY + timedelta(days=later) for later in range(300) if later % 3))
PAYERS = [
    ("AETNA", None), ("UNITEDHEALTHCARE", "12"), ("PRIORITY HEALTH", "12"), ("BCBSNC", "16"), ("HUMANA", "16"),
    ("CIGNA", None), ("X", None),
]  # fmt: skip


@pytest.mark.parametrize(("payer", "filing"), PAYERS)
def test_denials_alike_in_all_but_one_thing_are_told_apart(payer, filing):
    others = {"facts": [], "policies": SHIPPED, "calendar": Calendar(), "as_of": date(2026, 3, 21)}
    asked = []
    for reason, group in (("197", "CO"), ("197", "PR"), ("193", "CO")):
        event = denial(refused(reason, group=group), lines=VISIT, payer=payer, filing_indicator=filing)
        alike = [replace(event, **change) for changes in ALIKE.values() for change in changes]
        asked += [{"event": one, **others} for one in alike]
        asked += [{"event": event, **others, "history": [replace(one, payer=event.payer)]} for one in EARLIER]
        asked += [{"event": event, **others, "facts": told} for told in TOLD]
        asked += [{"event": event, **others, "as_of": DAY + timedelta(days=on)} for on in (19, 60, 90, 900)]
        asked.append({"event": event, **others, "policies": REPLACED})
        asked.append({"event": event, **others, "calendar": HOLIDAYS})

    one_after_another = [encode(decide(**one)) for one in asked]

    assert one_after_another == [first_of_all(one) for one in asked]


def first_of_all(one):
    for remembered in REMEMBERED:
        if remembered.__name__ != "public_holidays":  # slow to make again, and a mere look-up
            remembered.cache_clear()
    return encode(decide(**one))


def test_all_that_is_remembered_is_bounded():
    assert len(REMEMBERED) > 10
    assert all(one.cache_info().maxsize for one in REMEMBERED)
