import gzip
import io
import random
import zipfile
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.domain.findings import RULES
from services.ingest.domain.remittance import SetHeader
from services.ingest.simulate import Simulation, simulate
from tests.ingest.domain.files import HEADER, one_claim, reading, transaction_set, wrapped
from tests.ingest.x12.envelopes import isa

DENIED = "CLP*A1*1*100*0**12*P1*11*1~NM1*QC*1*DOE*JANE~SVC*HC:99213*100*0~DTM*472*20261001~CAS*CO*197*100"
CLEAN = wrapped(transaction_set([DENIED, DENIED.replace("A1", "A2")]))
DOCUMENT = Path(__file__).parents[3] / "docs" / "x12-835.md"


def test_a_clean_file_has_no_findings_and_every_byte_is_read():
    read = reading(CLEAN)

    assert read.codes == []
    assert read.closed.accepted
    assert read.closed.complete
    assert read.closed.bytes_read == len(CLEAN)
    assert (read.closed.transaction_sets, read.sets[0].claims_read) == (1, 2)
    assert (read.sets[0].charge_amount, read.sets[0].paid_amount) == (Decimal(200), Decimal(0))


def test_the_last_adjustment_of_the_last_claim_is_never_lost():
    for ending in (b"~SE*21*0001~GE*1*1~IEA*1*000000001~", b"~", b""):
        cut = CLEAN[: CLEAN.rindex(b"~SE*")] + ending
        assert [claim.kind for claim in reading(cut).claims] == ["denied", "denied"]


def test_the_header_holds_what_the_events_need():
    (header,) = reading(CLEAN).headers

    assert (header.payer.name, header.payee.name) == ("COBBLESTONE MUTUAL", "LANTERN VALLEY CLINIC")
    assert [(one.qualifier, one.value) for one in header.payer.ids] == [
        ("XV", "SIM02"),
        ("BPR10", "1990000009"),
        ("TRN03", "1990000009"),
        ("2U", "SIM02"),
    ]
    assert header.payee_identifiers == ("1234567893", "990000001")
    assert (header.trace_number, header.payer_trace_id) == ("TRACE1", "1990000009")
    assert (header.payment_on, header.production_on) == (date(2026, 11, 2), date(2026, 11, 3))
    assert (header.payer_date, header.payer_date_source) == (date(2026, 11, 3), "dtm405")
    assert (header.version, header.is_test, header.set_ordinal) == ("005010X221A1", False, 1)
    assert CLEAN[header.byte_offset :].startswith(b"ST*835*0001")
    assert msgspec.json.decode(msgspec.json.encode(header), type=SetHeader) == header


@pytest.mark.parametrize(
    ("drop", "found"),
    [
        ((), (date(2026, 11, 3), "dtm405")),
        (("DTM",), (date(2026, 11, 2), "bpr16")),
        (("DTM", "BPR"), (date(2026, 11, 4), "gs04")),
    ],
)
def test_the_payers_date_comes_from_the_first_place_that_has_one(drop, found):
    header = [line for line in HEADER if not line.startswith(drop)] if drop else HEADER
    (read,) = reading(wrapped(transaction_set([DENIED], header=header))).headers

    assert (read.payer_date, read.payer_date_source) == found


def test_without_any_date_the_receipts_stands_in():
    content = (
        CLEAN.replace(b"DTM*405*20261103~", b"")
        .replace(b"2*20261102~TRN", b"2~TRN")
        .replace(b"*20261104*", b"**")
    )
    (header,) = reading(content).headers

    assert (header.payer_date, header.payer_date_source) == (None, "receipt")


def test_a_test_interchange_is_marked():
    assert reading(wrapped(transaction_set([DENIED]), usage=b"T")).headers[0].is_test


def test_removing_any_segment_is_noticed():
    segments = CLEAN.split(b"~")[:-1]
    for index in range(len(segments)):
        read = reading(b"~".join(segments[:index] + segments[index + 1 :]) + b"~")
        assert read.codes or read.closed.refusal, f"segment {index + 1} is missing and nobody noticed"


@settings(deadline=None)
@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), max_size=6))
def test_any_chunking_gives_the_same_reading(seed, places):
    content = b"".join(simulate(Simulation(seed=seed % 50, claims=12, claims_per_set=5, reversed=0.2)))
    edges = [0, *sorted(place % len(content) for place in places), len(content)]
    blocks = [content[begin:end] for begin, end in pairwise(edges)]

    assert reading(*blocks) == reading(content)


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.binary(max_size=4), st.booleans())
def test_no_damage_raises_and_no_byte_goes_uncounted(chance: random.Random, noise, drop):
    at = chance.randrange(len(CLEAN))
    damaged = CLEAN[:at] + noise + CLEAN[at + (chance.randrange(40) if drop else 0) :]

    assert reading(damaged).closed.bytes_read == len(damaged)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\r\n \0\x1a", "empty_file"),
        (b"Dear sir or madam", "not_x12"),
        (b"%PDF-1.7 not an 835", "pdf_document"),
        (b"\r\n<!DOCTYPE html><p>Your session ended</p>", "web_page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><file>" + CLEAN[CLEAN.index(b"ST*") :], "xml_document"),
        (b'{"file": "' + CLEAN[CLEAN.index(b"ST*") :] + b'"}', "json_document"),
        (gzip.compress(CLEAN), "compressed_file"),
        (zstandard.compress(CLEAN), "compressed_file"),
        (CLEAN.decode().encode("utf-16"), "utf16_text"),
        (CLEAN[CLEAN.index(b"GS*") :], "no_envelope"),
        (CLEAN[CLEAN.index(b"ST*") :], "no_envelope"),
        (b"ISA*00*too short~GS*HP~", "envelope_unreadable"),
        (isa() + b"TA1*000000001*261102*0600*A*000~IEA*0*000000001~", "only_acknowledgments"),
        (CLEAN.replace(b"ST*835", b"ST*999"), "only_acknowledgments"),
        (CLEAN.replace(b"ST*835", b"ST*277"), "only_claim_status"),
        (CLEAN.replace(b"ST*835", b"ST*837"), "no_remittance"),
        (isa(), "no_remittance"),
    ],
)
def test_what_holds_no_remittance_is_refused_with_a_remedy(content, code):
    read = reading(content)

    assert read.closed.refusal.code == code
    assert read.closed.refusal.remedy
    assert not read.closed.accepted
    assert not read.claims


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["one.835", "one.edi_"])  # behind the latter an ISA ends no word
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_zip_is_refused_as_one_and_never_read_in_part(method, name, size):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(name, CLEAN)
        archive.writestr("two.835", CLEAN)
    content = packed.getvalue()
    read = reading(*(content[at : at + size] for at in range(0, len(content), size)))

    assert read.closed.refusal.code == "zip_archive"
    assert "Unzip it" in read.closed.refusal.remedy
    assert read.closed.bytes_read == len(content)
    assert not read.claims


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.7 not an 835",
        CLEAN.decode().encode("utf-16"),
        bytes(range(256)) * 400,
        b"\x1f\x8b" + b"gzip~" * 9,
    ],
)
def test_a_file_without_an_envelope_is_not_told_of_text_before_it(content):
    read = reading(content)

    assert not read.closed.accepted
    assert "text_before_envelope" not in read.codes


def test_another_set_beside_an_835_is_skipped_and_noted():
    other = transaction_set([DENIED]).replace("ST*835", "ST*277").replace("0001", "0002")
    read = reading(wrapped(other, transaction_set([DENIED])))

    assert read.codes == ["other_set"]
    assert [header.set_ordinal for header in read.headers] == [1]
    assert len(read.claims) == 1


@pytest.mark.parametrize(
    ("before", "after", "code", "segment_id", "element"),
    [
        (b"SE*21*", b"SE*19*", "set_count", "SE", 1),
        (b"SE*21*0001", b"SE*21*0002", "set_control_number", "SE", 2),
        (b"GE*1*1", b"GE*2*1", "group_count", "GE", 1),
        (b"GE*1*1", b"GE*1*2", "group_control_number", "GE", 2),
        (b"IEA*1*", b"IEA*7*", "interchange_count", "IEA", 1),
        (b"IEA*1*000000001", b"IEA*1*000000002", "interchange_control_number", "IEA", 2),
        (b"X221A1", b"X999A1", "unsupported_version", "ST", None),
        (b"DTM*405*20261103", b"DTM*405*2026113", "date_unreadable", "DTM", 2),
        (b"DTM*405*20261103", b"DTM*405*99991231", "date_absurd", "DTM", 2),
        (b"TRN*1*TRACE1*1990000009", b"CUR*PR*CAD", "missing_trace", "ST", None),
        (b"N1*PR*COBB", b"N1*XX*COBB", "misplaced_segment", "N1", 1),
        (b"DTM*472*20261001", b"N7*AROUND", "unknown_segment", None, None),
        (b"~SVC*HC:99213*100*0", b"~~SVC*HC:99213*100*0", "empty_segment", None, None),
        (b"SVC*HC:99213*100*0", b"SVC*HC:99213*1oo*0", "amount_unreadable", "SVC", 2),
        (b"PER*BL*DESK", b"PLB*1234567893*20261231*WO:1*X", "amount_unreadable", "PLB", 4),
        (b"GS*HP*SENDER", b"ZZ*HP*SENDER", "set_outside_group", "ST", None),
        (b"CLP*A1*1*100*0**12*P1", b"CLP**1*100*0**12*", "claim_unidentified", "CLP", 1),
        (b"CLP*A1*1*100*0", b"CLP*A1*1*999999999*0", "amount_absurd", "CLP", 3),
    ],
)
def test_each_fault_is_found_at_its_place(before, after, code, segment_id, element):
    content = CLEAN.replace(before, after, 1)
    found = next(one for one in reading(content).findings if one.code == code)

    assert (found.segment_id, found.element) == (segment_id, element)
    begin = content[found.byte_offset :]
    assert found.segment_number == content[: found.byte_offset].count(b"~") + 1
    assert segment_id is None or begin.startswith(segment_id.encode())
    assert reading(content).closed.accepted


@pytest.mark.parametrize("amounts", ["*100*", "**0", "*1,000.00*0", "*100", "", "*1e3*0", "*NaN*0"])
def test_a_claim_whose_amounts_cannot_be_read_is_quarantined_and_its_neighbours_go_on(amounts):
    torn = DENIED.replace("CLP*A1*1*100*0*", f"CLP*A1*1{amounts}*")
    content = wrapped(transaction_set([DENIED, torn, DENIED]))
    read = reading(content)

    (quarantined,) = read.quarantined
    assert [claim.position for claim in read.claims] == [1, 3]
    assert quarantined.position == 2
    assert {found.code for found in quarantined.findings} == {"claim_unreadable"}
    assert content[quarantined.byte_offset :][: quarantined.byte_length] == torn.encode() + b"~"
    assert (read.sets[0].claims_read, read.sets[0].quarantined) == (3, 1)


def test_a_quarantined_claim_tells_its_charge_where_that_can_be_read():
    read = one_claim("CLP*A1*1*70*x")

    assert read.quarantined[0].charge_amount == read.sets[0].charge_amount == Decimal(70)
    assert one_claim("CLP*A1*1*x*70").quarantined[0].charge_amount is None


@pytest.mark.parametrize(
    "ending", [b"", b"GE*1*1~IEA*1*000000001~", b"IEA*1*000000001~", b"ST*835*0002~SE*2*0002~"]
)
def test_a_set_without_se_is_truncated_and_so_is_its_last_claim(ending):
    read = reading(CLEAN[: CLEAN.rindex(b"SE*")] + ending)

    assert [claim.truncated for claim in read.claims] == [False, True]
    assert read.sets[0].truncated
    assert "set_truncated" in read.codes
    assert read.sets[0].balance_findings == ()
    assert read.closed.accepted
    assert read.closed.complete == (b"IEA" in ending)


def test_what_a_cut_took_away_is_not_held_against_the_claim():
    read = reading(CLEAN[: CLEAN.rindex(b"NM1*QC")])

    assert [claim.kind for claim in read.claims] == ["denied", "adjudicated"]


def test_an_interchange_that_begins_before_the_last_one_ended_loses_nothing():
    cut = CLEAN[: CLEAN.rindex(b"SE*")]
    read = reading(cut + CLEAN)

    assert [one.truncated for one in read.sets] == [True, False]
    assert len(read.claims) == 4
    assert not read.closed.complete


def test_no_finding_repeats_a_value_of_the_file():
    values = ["A1", "JANE", "DOE", "99213", "XSECRETX"]
    read = reading(CLEAN.replace(b"*100*0*", b"*XSECRETX*0*").replace(b"DTM*472*20261001", b"XSECRETX*JANE"))
    texts = " ".join(f"{one.message} {one.remedy} {one.segment_id}" for one in read.findings)

    assert read.findings
    assert not [value for value in values if value in texts]


def test_findings_are_bounded():
    content = wrapped(transaction_set([DENIED + "~ZZ*1" * 5000, "LX*2" + "~ZZ*1" * 5000]))
    read = reading(content)

    assert len(read.claims[0].findings) <= 101
    assert len(read.sets[0].findings) <= 201
    assert "more_findings" in read.codes


def test_a_loop_without_end_is_quarantined_within_bounds():
    lines = "~".join(["SVC*HC:99213*1*1"] * 60_000)
    read = reading(wrapped(transaction_set([f"CLP*A1*1*100*0**12*P1~{lines}", DENIED])))

    assert [found.code for found in read.quarantined[0].findings] == ["oversized_loop"]
    assert len(read.claims) == 1


def test_4010_is_read():
    content = (
        CLEAN.replace(b"005010X221A1", b"004010X091A1")
        .replace(b"*^*00501*", b"*U*00401*")
        .replace(b"SVC*HC:", b"SVC*ID:")
    )
    read = reading(content)

    assert read.codes == []
    assert read.headers[0].delimiters.repetition == b""
    assert [claim.kind for claim in read.claims] == ["denied", "denied"]


def test_the_document_prints_every_finding():
    rows = {
        line.split("|")[1].strip(" `"): line
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("| `")
    }

    for code, rule in RULES.items():
        assert rows[code] == f"| `{code}` | {rule.severity} | {rule.message} | {rule.remedy} |"


@pytest.mark.parametrize(
    ("created", "found"),
    [
        ("20261104", []),
        ("20261143", ["date_unreadable"]),
        ("1", ["date_unreadable"]),
        ("18991231", ["date_absurd"]),
        ("", []),
    ],
)
def test_the_date_of_a_group_is_read_or_noted(created, found):
    content = CLEAN.replace(b"*20261104*", f"*{created}*".encode(), 1)
    read = reading(content)

    assert read.codes == found
    assert all((one.segment_id, one.element) == ("GS", 4) for one in read.findings)


@pytest.mark.parametrize("trailer", [b"IEA~", b" IEA\r\n~", b"IEA*~"])
def test_a_trailer_without_elements_ends_the_interchange(trailer):
    bare = CLEAN.replace(b"IEA*1*000000001~", trailer)
    read = reading(bare + b"ST*835*0002~" + CLEAN)

    assert read.codes == [
        "interchange_control_number",
        "interchange_count",
        "no_envelope",
        "text_after_envelope",
    ]
    assert len(read.claims) == 4
    assert read.closed.bytes_read == len(bare) + 12 + len(CLEAN)


@pytest.mark.parametrize(
    "count", [b" " * 19 + b"%d", b"\r\n" * 12 + b"%d", b"%d" + b"\n" * 20, b"0" * 16 + b"%d"]
)
def test_a_padded_count_is_a_count(count):
    padded = CLEAN
    for trailer, counted in ((b"SE*", b"21"), (b"GE*", b"1"), (b"IEA*", b"1")):
        assert trailer + counted + b"*" in padded
        padded = padded.replace(trailer + counted + b"*", trailer + count % int(counted) + b"*")

    assert reading(padded).codes == []


@pytest.mark.parametrize("count", [b"", b" ", b"x", b"-1", b"1.0", b"9" * 400, b"\xb2"])
def test_what_is_no_count_is_no_match(count):
    codes = reading(CLEAN.replace(b"GE*1*", b"GE*" + count + b"*")).codes

    assert codes == ["group_count"]


def test_a_control_number_beyond_ascii_is_compared_as_it_is_read():
    assert reading(CLEAN.replace(b"*0001~", b"*000\xe4~")).codes == []


def test_what_a_set_holds_is_not_shown_by_its_repr():
    content = CLEAN.replace(b"~SE*21", b"~PLB*1*20261231*WO:HIDDEN*0~SE*22")

    assert reading(content).sets[0].provider_adjustments[0].reference == "HIDDEN"
    assert "HIDDEN" not in repr(reading(content).sets)


@pytest.mark.parametrize(
    ("place", "put", "found"),
    [
        ("N1*PR*", None, "missing_party"),
        ("N1*PE*", None, "missing_party"),
        ("BPR*", "BPR*I*7*C*CHK************20260101", "misplaced_segment"),
        ("TRN*", "TRN*1*OTHER*1990000009", "misplaced_segment"),
        ("N1*PR*", "N1*PR*ANOTHER PAYER", "misplaced_segment"),
        ("N1*PE*", "N1*PE*ANOTHER CLINIC*XX*1234567893", "misplaced_segment"),
        ("DTM*", "DTM*405", "date_unreadable"),
        ("DTM*", "DTM", "date_unreadable"),
    ],
)
def test_a_header_names_payment_trace_payer_and_payee_once_each(place, put, found):
    at = next(index for index, line in enumerate(HEADER) if line.startswith(place))
    header = [*HEADER[: at + 1], put, *HEADER[at + 1 :]] if put else HEADER[:at] + HEADER[at + 1 :]
    read = reading(wrapped(transaction_set([DENIED], header=header)))

    assert read.codes == [found]
    assert (str(read.headers[0].payment_amount), read.headers[0].trace_number) == ("0", "TRACE1")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("TRN*1*TRACE1*", "TRN*1**", "missing_trace"),
        ("N1*PR*COBBLESTONE MUTUAL*XV*SIM02", "N1*PR", "missing_party"),
    ],
)
def test_a_segment_that_names_nothing_is_as_good_as_missing(old, new, found):
    assert old.encode() in CLEAN
    assert reading(CLEAN.replace(old.encode(), new.encode())).codes == [found]
