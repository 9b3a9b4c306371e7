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
ANCHORED = b"""
id = "anchored"
version = "1"
name = "Invented, with what no shipped policy counts from"
status = "confirmed"
zone = "America/Chicago"
follow_up_days = 10
reviews = [{ amount = 72, unit = "hours", when = ["urgency=emergency"] }, { amount = 30 }]

[match]
names = ["ANCHORED"]
ids = ["INVENTED1"]

[[contacts]]
purpose = "appeals"
where = "the portal"

[[sources]]
url = "https://invented.example/rules"
seen_on = 2026-02-01

[[clocks]]
kind = "retro_authorization"
label = "From the discharge, at most from the claim"
amount = 30
unit = "business_days"
anchors = ["discharge"]
caps = [{ amount = 60, unit = "calendar_days", anchor = "claim_received" }]

[[clocks]]
kind = "notification"
label = "From the admission"
amount = 48
unit = "hours"
anchors = ["admission"]
requires = ["service_category=maternity"]

[[clocks]]
kind = "reconsideration"
label = "From the first or the letter, whichever is later"
amount = 90
unit = "calendar_days"
anchors = ["dos_first", "denial_letter"]
choose = "latest"

[[clocks]]
kind = "appeal_level_1"
label = "From the letter"
amount = 2
unit = "months"
anchors = ["denial_letter"]

[[clocks]]
kind = "peer_to_peer"
label = "From the remittance"
amount = 14
unit = "business_days"
anchors = ["remit_date"]
requires = ["service_category=imaging"]

[[clocks]]
kind = "appeal_level_2"
label = "From the decision"
amount = 60
unit = "calendar_days"
anchors = ["prior_decision"]
after = "appeal_level_1"

[[clocks]]
kind = "corrected_claim"
label = "From the last"
amount = 1
unit = "years"
anchors = ["dos_last"]

[[examples]]
name = "a year from the service"
as_of = 2026-02-02
denial = { payer_date = 2026-02-02, service_from = 2026-02-01 }
clocks = [{ kind = "corrected_claim", permitted = true, deadline = "2027-02-01T23:59:59-06:00" }]
"""
BESIDE = load_policies(policy_texts() | {"anchored.toml": ANCHORED})

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
    facts(filing_limit_date="2026-03-15"),
    facts(delegate="cohere"),
    facts(network_status="in"),
    facts(eligibility_add_date="2026-03-10"),
    facts(discharge_date="2026-03-04"),
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


def remark(code):
    return Remark(code=code, source="MOA")


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
        {"service_from": DAY - timedelta(days=4)},
        {"service_from": DAY - timedelta(days=200)},
        {"statement_from": DAY - timedelta(days=4), "statement_to": DAY - timedelta(days=3)},
        {"payer_date": date(2011, 3, 20)},
        {"denied": (refused("243"),)},
        {"payer_date": date(2011, 3, 20), "denied": (refused("243"),)},
    ],
    "codes": [
        {"lines": (line(1, code="70551"),)},
        {"lines": (line(1, code="97110"),)},
        {"lines": (line(1, code="99285"),)},
        {"lines": (line(1, code="99284"),)},
        {"lines": (line(1, code="99213", original_code="99285"),)},
        {"lines": (line(1, code="99213", original_code="99284"),)},
        {"lines": (line(1, code="99213", modifiers=("ET",)),)},
        {"lines": (line(1, code="99213", modifiers=("GJ",)),)},
        {"lines": (line(1, code="99213", revenue_code="0450"),)},
        {"lines": (line(1, code="99213", revenue_code="0456"),)},
        {"lines": (line(1, code="0450", qualifier="HC", modifiers=("ET",)),)},
        {"lines": (line(1, code="0450", qualifier="NU", modifiers=("ET",)),)},
        {"lines": (line(1, code="99213"), line(2, code="99213"))},
        {"lines": (line(1, code="99213"), line(2, code="99213", remarks=["N842"]))},
        {"lines": (line(1, code="no code"),)},
        {"drg": "470", "lines": (line(1, code="no code"),)},
        {"drg": "775", "lines": (line(1, code="no code"),)},
        {"drg": "470", "facility_type": "11"},
        {"drg": "775", "facility_type": "11"},
        {"facility_type": "13", "frequency": "1"},
        {"facility_type": "20", "lines": ()},
        {"facility_type": "23", "lines": ()},
        {"filing_indicator": "MC"},
        {"filing_indicator": "16"},
        {"claim_status": "2"},
        {"authorization_numbers": (Reference(qualifier="G1", value="A1"),)},
        {"balance_findings": (UNBALANCED,)},
    ],
    "remarks": [
        *({"remarks": (remark(code),)} for code in (*REMARKS, "MA02", "N358", "N1")),
        {"remarks": (remark("MA01"),), "payer_date_source": "bpr16"},
        {"remarks": (remark("MA01"),), "payer_date_source": "receipt"},
        {"remarks": (remark("MA01"),), "payer_date_source": "receipt", "payer_date": date(2026, 3, 21)},
        {"remarks": (remark("N706"),), "denied": (refused("39"),)},
    ],
    "payer": [
        *({"payer": Party(name=name)} for name in ("TRICARE EAST", "MEDI-CAL", "Y", "CIGNA")),
        *(
            {"payer": Party(name="Y", ids=(Reference(qualifier="XV", value=value),))}
            for value in ("60054", "INVENTED1")
        ),
    ],
    "denied": [
        *({"denied": (refused(reason, "500.00", line_number=1),)} for reason in REASONS),
        {"denied": (refused("197", "500.00", line_number=1, group="PR"),)},
        {"denied": (refused("197", "500.00", line_number=None),)},
        {"denied": (refused("197", "500.00", line_number=2),)},
        {"denied": (refused("45", "80"),)},
        {"denied": (refused("197"), refused("97", line_number=2))},
        {"denied": (refused("197"), refused("193", "80", line_number=2))},
        {"denied": (refused("197", "0.00"),)},
        {"denied": (refused("197", "-0.00"),)},
        {"denied": (refused("197", "500.00", quantity=Decimal(0)),)},
        {"denied": (refused("197", "500.00", quantity=Decimal("-0")),)},
        {"denied": (refused("197", "80", line_number=1, quantity=Decimal("2.50")),)},
    ],
}
VISIT = (line(1, code="99213"),)
EARLIER = [denial(event_id=UUID(int=8), payer_date=date(2026, 3, day), lines=VISIT) for day in (10, 12)]
EARLIER += [
    replace(EARLIER[0], payer_date_source="receipt"),
    replace(EARLIER[0], service_from=None, service_to=None),
    replace(
        EARLIER[0],
        denied=(),
        paid_amount=Decimal(100),
        lines=(line(1, code="99213", paid_amount=Decimal(100)),),
    ),
]
HOLIDAYS = Calendar(closed=frozenset(DAY + timedelta(days=later) for later in range(300) if later % 3))
PAYERS = [
    ("AETNA", None), ("UNITEDHEALTHCARE", "12"), ("PRIORITY HEALTH", "12"), ("BCBSNC", "16"), ("HUMANA", "16"),
    ("CIGNA", None), ("X", None), ("ANCHORED", "12"), ("SUPERIOR HEALTHPLAN", "MC"), ("TRICARE EAST", "CH"),
]  # fmt: skip


def asked_of(payer, filing, reasons=(("197", "CO"), ("197", "PR"), ("193", "CO"))):
    """Give inputs of one payer that differ in one thing from each other."""
    others = {"facts": [], "policies": BESIDE, "calendar": Calendar(), "as_of": date(2026, 3, 21)}
    # First one with fewer ways out: whatever is gathered for them is too little for the others.
    late = denial(refused("210"), lines=VISIT, payer=payer, filing_indicator=filing)
    asked = [{"event": late, **others}]
    for reason, group in reasons:
        event = denial(refused(reason, group=group), lines=VISIT, payer=payer, filing_indicator=filing)
        alike = [replace(event, **change) for changes in ALIKE.values() for change in changes]
        asked += [{"event": one, **others} for one in alike]
        asked += [{"event": event, **others, "history": [replace(one, payer=event.payer)]} for one in EARLIER]
        asked += [{"event": event, **others, "facts": told} for told in TOLD]
        asked += [{"event": event, **others, "as_of": DAY + timedelta(days=on)} for on in (19, 60, 90, 900)]
        long_ago = replace(event, service_from=DAY - timedelta(days=200))
        asked += [
            {"event": one, **others, "policies": policies}
            for one in (event, long_ago)
            for policies in (REPLACED, SHIPPED)
        ]
        asked.append({"event": event, **others, "calendar": HOLIDAYS})
    upheld = denial(refused("193"), lines=VISIT, payer=payer, filing_indicator=filing)
    upheld = replace(upheld, remarks=(remark("MA01"),))
    told = replace(EARLIER[0], payer=upheld.payer)
    before = replace(upheld, event_id=UUID(int=9), payer_date=date(2026, 3, 12))
    later, undated = (
        replace(before, payer_date=date(2026, 3, 13)),
        replace(before, payer_date_source="receipt"),
    )
    upholding = [[], [before], [later], [undated]]
    another = denial(refused("16"), event_id=UUID(int=10), lines=VISIT, payer=payer, filing_indicator=filing)
    upholding += [[replace(another, payer_date=date(2026, 3, day))] for day in (11, 12)]
    asked += [{"event": upheld, **others, "history": [told, *one]} for one in upholding]
    return asked


@pytest.mark.parametrize(("payer", "filing"), PAYERS)
def test_denials_alike_in_all_but_one_thing_are_told_apart(payer, filing):
    asked = asked_of(payer, filing)

    one_after_another = [encode(decide(**one)) for one in asked]

    assert one_after_another == [first_of_all(one) for one in asked]


def first_of_all(one):
    forget()
    return encode(decide(**one))


def forget():
    for remembered in REMEMBERED:
        remembered.cache_clear()


def test_all_that_is_remembered_is_bounded():
    assert len(REMEMBERED) > 10
    assert all(one.cache_info().maxsize for one in REMEMBERED)
