import os
import re
from datetime import date
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain import events
from services.ingest.domain.events import claim_event, event_or_quarantine
from services.ingest.domain.identity import claim_key, event_id
from services.ingest.domain.remittance import ClaimQuarantined
from shared.contracts.base import encode
from shared.contracts.claim import Adjustment, DeniedAdjustment, Reference, Remark
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from shared.contracts.person import Person
from shared.errors import UnavailableError
from shared.security.sealing import Sealer, open_person
from tests.ingest.domain.files import ORGANIZATION, context, one_claim

FULL = (
    "CLP*A-1*1*300*50*10*HM*P-9*11*1**470",
    "CAS*OA*23*40",
    "NM1*QC*1*DOE*JANE*Q**JR*MI*M1",
    "NM1*IL*1*ROE*RICHARD****MI*M2",
    "NM1*74*1*DOE*JANET****C*M3",
    "NM1*82*1*HOUSE*GREG****XX*1999999992",
    "NM1*TT*2*CROSSOVER PLAN*****PI*77",
    "NM1*PR*2*OTHER PLAN*****PI*88",
    "MIA*0***300*MA02***************M62*N1",
    "MOA***MA01*N2",
    "REF*1L*GROUP7",
    "REF*SY*219099999",
    "REF*1W*M1",
    "REF*IG*M1",
    "REF*EA*MRN-5512",
    "REF*G1*AUTH1",
    "DTM*232*20260901",
    "DTM*233*20260930",
    "DTM*050*20261005",
    "DTM*036*20261231",
    "PER*CX**TE*8005550100",
    "AMT*AU*260",
    "QTY*CA*2",
    "SVC*HC:99213:25:59*200*50*0450*1*HC:99214*2",
    "DTM*150*20260902",
    "DTM*151*20260904",
    "CAS*CO*45*20**197*120*3",
    "CAS*PR*3*10",
    "REF*6R*L1",
    "REF*BB*AUTH2",
    "AMT*B6*180",
    "LQ*HE*N54",
    "LQ*RX*70",
    "SVC*NU:0300*60*0",
    "DTM*472*20260905",
    "CAS*CO*16*60",
)


@pytest.fixture
def sealer():
    return Sealer(
        organization_id=ORGANIZATION,
        month=date(2026, 11, 1),
        data_key=os.urandom(32),
        index_key=os.urandom(32),
    )


def event_of(*segments, sealer=None, **more):
    read = one_claim(*segments)
    return claim_event(read.claims[0], read.headers[0], context(**more), sealer), read


def test_every_field_of_the_contract_is_carried(sealer):
    event, read = event_of(
        *FULL, sealer=sealer, submitter_id=UUID(int=3), feed="daily", receipt_id=UUID(int=4)
    )
    (claim,), (header,) = read.claims, read.headers

    assert isinstance(event, ClaimDenied)
    assert event.event_id == event_id(ORGANIZATION, header, claim)
    assert event.claim_key == claim_key(ORGANIZATION, claim, event.event_id)
    assert (event.revision, event.position, event.version) == (1, 1, "005010X221A1")
    assert (event.submitter_id, event.feed, event.receipt_id) == (UUID(int=3), "daily", UUID(int=4))
    assert (event.payer, event.payee) == (header.payer, header.payee)
    assert (event.trace_number, event.payer_trace_id, event.payment_method) == ("TRACE1", "1990000009", "ACH")
    assert (event.payment_on, event.production_on) == (date(2026, 11, 2), date(2026, 11, 3))
    assert (event.payer_date, event.payer_date_source) == (date(2026, 11, 3), "dtm405")
    assert (event.claim_number, event.claim_status, event.payer_claim_number) == ("A-1", "1", "P-9")
    assert (event.charge_amount, event.paid_amount) == (Decimal(300), Decimal(50))
    assert event.patient_responsibility_amount == Decimal(10)
    assert (event.filing_indicator, event.facility_type, event.frequency, event.drg) == (
        "HM",
        "11",
        "1",
        "470",
    )
    assert event.rendering_npi == "1999999992"
    assert (event.crossover_payer, event.corrected_payer) == ("CROSSOVER PLAN", "OTHER PLAN")
    assert (event.statement_from, event.statement_to) == (date(2026, 9, 1), date(2026, 9, 30))
    assert (event.claim_received_on, event.coverage_expires_on) == (date(2026, 10, 5), date(2026, 12, 31))
    assert (event.service_from, event.service_to) == (date(2026, 9, 2), date(2026, 9, 5))
    assert event.service_date_source == "line_range"
    assert event.adjustments == (Adjustment(group="OA", reason="23", amount=Decimal(40)),)
    assert [(one.code, one.source) for one in event.remarks] == [
        ("MA02", "MIA"), ("M62", "MIA"), ("N1", "MIA"), ("MA01", "MOA"), ("N2", "MOA"),
    ]  # fmt: skip
    assert event.authorization_numbers == (Reference(qualifier="G1", value="AUTH1"),)
    assert event.references == (Reference(qualifier="1L", value="GROUP7"),)


def test_service_lines_carry_their_own_facts():
    event, _ = event_of(*FULL)
    first, second = event.lines

    assert (first.number, first.control_number, first.revenue_code) == (1, "L1", "0450")
    assert (first.qualifier, first.code, first.modifiers) == ("HC", "99213", ("25", "59"))
    assert (first.original_qualifier, first.original_code) == ("HC", "99214")
    assert (first.charge_amount, first.paid_amount, first.allowed_amount) == (
        Decimal(200),
        Decimal(50),
        Decimal(180),
    )
    assert (first.units_paid, first.units_original) == (Decimal(1), Decimal(2))
    assert (first.service_from, first.service_to) == (date(2026, 9, 2), date(2026, 9, 4))
    assert first.adjustments == (
        Adjustment(group="CO", reason="45", amount=Decimal(20)),
        Adjustment(group="CO", reason="197", amount=Decimal(120), quantity=Decimal(3)),
        Adjustment(group="PR", reason="3", amount=Decimal(10)),
    )
    assert first.remarks == (
        Remark(code="N54", source="LQ"),
        Remark(code="70", source="LQ", code_list="RX"),
    )
    assert first.authorization_numbers == (Reference(qualifier="BB", value="AUTH2"),)
    assert (second.code, second.revenue_code, second.units_paid) == ("0300", "0300", None)
    assert event.denied == (
        DeniedAdjustment(line_number=1, group="CO", reason="197", amount=Decimal(120), quantity=Decimal(3)),
        DeniedAdjustment(line_number=2, group="CO", reason="16", amount=Decimal(60)),
    )


def test_people_are_sealed_and_found_by_their_indexes(sealer):
    event, _ = event_of(*FULL, sealer=sealer)

    assert open_person(event.patient.sealed, sealer) == Person(
        last="DOE", first="JANE", middle="Q", suffix="JR", id_qualifier="MI", member_id="M1"
    )
    assert event.subscriber.member_id_index == sealer.index("M2")
    assert open_person(event.corrected_patient.sealed, sealer).first == "JANET"


def test_no_person_and_no_personal_number_leaves_in_the_open(sealer):
    for one in (sealer, None):
        text = encode(event_of(*FULL, sealer=one)[0]).decode()
        text, sealed = re.subn(
            r"s1\.\d{6}\.[A-Za-z0-9_=-]+", "", text
        )  # noise, in which any three letters may stand
        assert bool(sealed) is bool(one)
        assert not [
            name for name in ("JANE", "DOE", "ROE", "219099999", "MRN-5512", '"M1"', '"M2"') if name in text
        ]


def test_without_a_key_the_people_are_left_out():
    event, _ = event_of(*FULL)

    assert event.patient.sealed is None
    assert event.patient.name_index is None


def test_events_survive_json():
    event, _ = event_of(*FULL)

    assert msgspec.json.decode(encode(event), type=ClaimDenied) == event


def test_the_kind_decides_the_type():
    assert isinstance(event_of("CLP*A*22*-10*0", "CAS*CO*197*-10")[0], ClaimReversed)
    assert isinstance(event_of("CLP*A*1*10*10")[0], ClaimAdjudicated)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (("DTM*232*20260901", "SVC*HC:1*0*0", "DTM*472*20260903"), (3, 3, "line")),
        (("DTM*232*20260901", "SVC*HC:1*0*0"), (1, 1, "claim")),
        (("DTM*232*20260901", "DTM*233*20260904"), (1, 4, "claim")),
        (("SVC*HC:1*0*0", "DTM*150*20260902"), (2, 2, "line_range")),
        (("SVC*HC:1*0*0",), (None, None, "none")),
    ],
)
def test_service_dates_come_from_lines_first(segments, expected):
    event, _ = event_of("CLP*A*1*0*0", *segments)
    days = [day and day.day for day in (event.service_from, event.service_to)]

    assert (*days, event.service_date_source) == expected


def test_a_file_without_dates_counts_from_the_receipt():
    read = one_claim("CLP*A*1*10*10")
    header = msgspec.structs.replace(read.headers[0], payer_date=None, payer_date_source="receipt")
    event = claim_event(read.claims[0], header, context(), None)

    assert (event.payer_date, event.payer_date_source) == (date(2026, 11, 21), "receipt")


def test_a_truncated_set_marks_its_events():
    assert event_of("CLP*A*1*10*10", truncated=True)[0].truncated


def test_delimiters_beyond_ascii_give_the_same_event():
    read = one_claim(*FULL)
    loop = read.claims[0].loop.replace(b"*", b"\xa7").replace(b":", b"\xb6")
    delimiters = msgspec.structs.replace(read.headers[0].delimiters, element=b"\xa7", component=b"\xb6")
    header = msgspec.structs.replace(read.headers[0], delimiters=delimiters)
    claim = msgspec.structs.replace(read.claims[0], loop=loop)

    assert claim_event(claim, header, context(), None) == claim_event(
        read.claims[0], read.headers[0], context(), None
    )


ELEMENTS = [
    "",
    " ",
    "0",
    "-5",
    "B6",
    "QC",
    "82",
    "XX",
    "G1",
    "6R",
    "1L",
    "472",
    "HC:99213:25",
    ":",
    "\0",
    "197",
    "20261001",
]
SEGMENTS = st.builds(
    lambda tag, elements: "*".join([tag, *elements]),
    st.sampled_from(
        ["CLP", "CAS", "NM1", "MIA", "MOA", "REF", "DTM", "SVC", "AMT", "QTY", "LQ", "PER", "ZZ", ""]
    ),
    st.lists(st.sampled_from(ELEMENTS), max_size=25),
)


@given(
    st.lists(SEGMENTS, max_size=3),
    st.sampled_from(["SVC*HC:99213*100*0", "SVC", ""]),
    st.lists(SEGMENTS, max_size=6),
)
def test_segments_of_any_length_in_any_loop_become_events(of_claim, line, of_line):
    read = one_claim("CLP*A*1*100*0", *of_claim, line, *of_line)

    for claim in read.claims:
        assert encode(claim_event(claim, read.headers[0], context(), None))
        assert not isinstance(event_or_quarantine(claim, read.headers[0], context(), None), ClaimQuarantined)


@pytest.mark.parametrize(
    "cut", [(at, count) for at, segment in enumerate(FULL) for count in range(segment.count("*") + 1)]
)
def test_no_segment_is_too_short_to_be_read(cut):
    at, count = cut
    short = "*".join(FULL[at].split("*")[: count + 1])
    read = one_claim(*FULL[:at], short, *FULL[at + 1 :])

    assert [claim_event(claim, read.headers[0], context(), None).claim_number for claim in read.claims] == (
        [] if at == 0 and count < 4 else ["A-1"]
    )


def test_a_tag_that_only_begins_like_a_claim_is_quarantined():
    read = one_claim("CLPX*A*1*100*0", "CAS*CO*197*100", "CLP*B*1*100*0", "CAS*CO*197*100")

    assert [claim.claim_number for claim in read.claims] == ["B"]
    assert [found.code for one in read.quarantined for found in one.findings] == ["claim_unreadable"]


def test_a_claim_whose_event_fails_is_set_aside_with_its_place(monkeypatch):
    def fail(*_):
        raise IndexError("a defect of ours")

    monkeypatch.setattr(events, "Detail", fail)
    read = one_claim("CLP*A*1*100*0", "CAS*CO*197*100")
    (claim,) = read.claims
    quarantined = event_or_quarantine(claim, read.headers[0], context(), None)

    assert isinstance(quarantined, ClaimQuarantined)
    assert (quarantined.position, quarantined.charge_amount) == (1, Decimal(100))
    assert (quarantined.byte_offset, quarantined.byte_length) == (claim.byte_offset, claim.byte_length)
    assert [(found.code, found.segment_number) for found in quarantined.findings] == [
        ("claim_unreadable", claim.segment_number)
    ]
    assert isinstance(quarantined.defect, IndexError)


def test_a_key_that_is_away_is_no_fault_of_the_claim(monkeypatch):
    def away(*_):
        raise UnavailableError("no key", remedy="wait")

    monkeypatch.setattr(events, "seal_person", away)
    read = one_claim("CLP*A*1*100*0", "NM1*QC*1*DOE*JANE")

    with pytest.raises(UnavailableError):
        event_or_quarantine(read.claims[0], read.headers[0], context(), None)
