from hashlib import sha1
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import claim_key, event_id, sibling_key
from shared.identity import identified as uuid_named
from shared.values import REPRIEVE_NAMESPACE
from tests.ingest.domain.files import ORGANIZATION, reading, transaction_set, wrapped

DENIED = "CLP*A1*1*100.00*0.00**12*P1*11*1~NM1*QC*1*DOE*JANE~SVC*HC:99213:25*100.00*0.00~DTM*472*20261001~CAS*CO*197*100.00"


def identified(content):
    read = reading(content)
    owners = [
        header for header, one in zip(read.headers, read.sets, strict=True) for _ in range(one.claims_read)
    ]
    return [(event_id(ORGANIZATION, h, c), c, h) for h, c in zip(owners, read.claims, strict=True)]


def ids(content):
    return [event for event, _, _ in identified(content)]


@given(st.text(max_size=30), st.uuids())
def test_derived_ids_are_uuids_of_version_5(name, organization):
    seed = organization.bytes + name.encode("utf-8", "surrogateescape")

    # uuid5 takes text or bytes only since 3.12: Latin-1 carries bytes through.
    assert uuid_named(organization, name).version == 5
    assert uuid_named(organization, name) == _uuid5(seed)


def _uuid5(seed):
    return UUID(bytes=sha1(REPRIEVE_NAMESPACE.bytes + seed, usedforsecurity=False).digest()[:16], version=5)


def test_ids_of_ascii_names_are_what_the_standard_library_derives():
    organization = UUID(bytes=b"A" * 16)

    assert uuid_named(organization, "name") == uuid5(REPRIEVE_NAMESPACE, "A" * 16 + "name")


def test_the_id_of_an_event_never_changes():
    """A changed id would re-send every claim ever read: this value may only change with READER_REVISION."""
    assert ids(wrapped(transaction_set([DENIED]))) == [UUID("01c22cf2-2276-5067-b39e-928d7e03d919")]


def test_a_remittance_in_another_envelope_has_the_same_ids():
    content = wrapped(transaction_set([DENIED]))
    other = (
        content.replace(b"000000001", b"000000777")
        .replace(b"ST*835*0001", b"ST*835*0777")
        .replace(b"SE*16*0001", b"SE*16*0777")
        .replace(b"~", b"!\r\n")
        .replace(b":", b">")
        .replace(b"*", b"|")
    )

    assert ids(other) == ids(content)


def test_amounts_may_be_written_otherwise_and_names_may_be_corrected():
    content = wrapped(transaction_set([DENIED]))

    assert ids(content.replace(b"100.00", b"100").replace(b"0.00", b"0")) == ids(content)
    assert ids(content.replace(b"DOE*JANE", b"DOE*JANET")) == ids(content)
    assert ids(content.replace(b"CAS*CO*197*100.00", b"CAS*CO*197*100.00**")) == ids(content)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("CLP*A1*", "CLP*A1 *"),
        ("CLP*A1*", "CLP* A1*"),
        ("*0.00**12*", "*0.00*0*12*"),
        ("*0.00**12*", "*0.00*0.00*12*"),
        ("*0.00**12*", "*0.00* *12*"),
        ("*11*1~", "*11*1***~"),
        ("*11*1~", "*11*1 ~"),
        ("HC:99213:25*", "HC:99213:25::*"),
        ("HC:99213:25*", "HC : 99213:25 *"),
        ("0.00~DTM", "0.00*:::*~DTM"),
        ("*20261001~", "*20261001 ~"),
        ("*20261001~", "*20261001**~"),
        ("CAS*CO*197*", "CAS*CO *197 *"),
        ("*197*100.00", "*197*100.00* **"),
    ],
)
def test_padding_and_empty_ends_do_not_change_ids(before, after):
    assert before in DENIED
    padded = ids(wrapped(transaction_set([DENIED.replace(before, after)])))

    assert padded == ids(wrapped(transaction_set([DENIED])))


def test_what_the_patient_owes_and_an_inner_blank_do_change_ids():
    others = [DENIED, DENIED.replace("0.00**12", "0.00*5*12"), DENIED.replace("99213:25", "99213::25")]

    assert len({*ids(wrapped(transaction_set(others)))}) == len(others)


def test_other_facts_give_other_ids():
    content = wrapped(transaction_set([DENIED]))
    others = [
        content.replace(before, after)
        for before, after in [
            (b"TRACE1", b"TRACE2"),
            (b"*1990000009**01", b"*1990000009**01"),
            (b"2*20261102~TRN", b"2*20261109~TRN"),
            (b"*197*", b"*198*"),
            (b"20261001", b"20261002"),
            (b"99213", b"99214"),
        ]
    ]

    assert len({*ids(content), *(one for other in others for one in ids(other))}) == len(others)


def test_equal_claims_of_one_set_are_told_apart_by_their_ordinal():
    content = wrapped(transaction_set([DENIED] * 156))

    assert len(set(ids(content))) == 156
    assert ids(content)[:3] == ids(wrapped(transaction_set([DENIED] * 3)))


def test_equal_sets_collide_on_purpose():
    one, again = transaction_set([DENIED]), transaction_set([DENIED], control="0002")
    first, second = ids(wrapped(one, again))

    assert first == second


def test_a_remittance_cut_in_two_files_keeps_its_ids():
    other = DENIED.replace("A1", "A2")
    both = ids(wrapped(transaction_set([DENIED, other])))

    assert both == ids(wrapped(transaction_set([DENIED]))) + ids(wrapped(transaction_set([other])))


def test_the_claim_key_is_the_providers_number_and_else_the_payers():
    def key(claim_number, payer_number):
        claim = DENIED.replace("A1", claim_number).replace("P1", payer_number)
        ((event, read, _),) = identified(wrapped(transaction_set([claim])))
        return claim_key(ORGANIZATION, read, event), event

    assert key("a1 ", "P1")[0] == key("A1", "P2")[0]
    assert key("A1", "P1")[0] != key("A2", "P1")[0]
    assert key("0", "P1")[0] == key("", "P1")[0] == key("000", " p1")[0]
    assert key("P1", "X")[0] != key("", "P1")[0]
    assert key("", "")[0] != key("", "")[1]
    assert (
        claim_key(UUID(int=9), identified(wrapped(transaction_set([DENIED])))[0][1], UUID(int=1))
        != key("A1", "P1")[0]
    )


def test_a_test_copy_never_hides_the_production_claim():
    """Enforces decision 8."""
    test = identified(wrapped(transaction_set([DENIED]), usage=b"T"))
    production = identified(wrapped(transaction_set([DENIED])))
    (tested, claim, header), (sent, _, _) = *test, *production
    keys = [sibling_key(ORGANIZATION, one, claim) for one in (header, production[0][2])]

    assert tested != sent
    assert keys[0] != keys[1]
    assert [tested] == ids(wrapped(transaction_set([DENIED]), usage=b"T"))
    assert claim_key(ORGANIZATION, claim, tested) == claim_key(ORGANIZATION, claim, sent)


def test_siblings_share_trace_and_numbers_but_a_reversal_is_none():
    changed = DENIED.replace("197", "50")
    reversal = "CLP*A1*22*-100*0**12*P1~SVC*HC:99213*-100*0~CAS*CO*197*-100"
    found = identified(wrapped(transaction_set([DENIED, changed, reversal])))
    keys = [sibling_key(ORGANIZATION, header, claim) for _, claim, header in found]

    assert keys[0] == keys[1] != keys[2]
    assert len({event for event, _, _ in found}) == 3
