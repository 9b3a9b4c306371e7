"""Our own small samples: each keeps a shape, or a fault seen in the wild, with invented people."""

from datetime import date

import pytest

from services.demo import remittances
from services.ingest.domain.events import claim_event
from services.ingest.domain.identity import event_id
from tests.ingest.acknowledgments.answers import answers
from tests.ingest.domain.files import ORGANIZATION, SAMPLES, context, reading

EXPECTED = {
    "professional.835": (["denied", "adjudicated", "denied"], []),
    "institutional.835": (["denied"], []),
    "reversal.835": (["reversed", "denied"], []),
    "secondary.835": (["adjudicated"], []),
    "legacy-4010.835": (["denied"], []),
    "issues/last-segment-without-terminator.835": (
        ["denied"],
        [
            "amount_unreadable",
            "claim_out_of_balance",
            "group_truncated",
            "interchange_truncated",
            "line_out_of_balance",
            "set_truncated",
        ],
    ),
    "issues/empty-segments.835": (["denied"], ["empty_segment"]),
    "issues/two-interchanges-two-delimiters.835": (["denied", "denied"], []),
    "issues/no-envelope.835": ([], []),
    "issues/line-break-before-terminator.835": (["denied"], []),
    "issues/short-isa.835": (["denied"], ["envelope_length"]),
    "issues/amount-with-currency.835": (
        ["denied"],
        ["amount_unreadable", "claim_out_of_balance", "line_out_of_balance"],
    ),
    "issues/missing-quantity-slot.835": (
        ["adjudicated"],
        ["amount_unreadable", "claim_out_of_balance", "line_out_of_balance"],
    ),
    "issues/name-like-isa.835": (["denied"], []),
    "issues/bare-segments.835": (
        ["denied", "adjudicated"],
        ["amount_unreadable", "date_unreadable", "unknown_segment"],
    ),
    "issues/equal-claims.835": (["denied"] * 5, []),
    "issues/only-999.835": ([], ["other_set"]),
}


def sample(name):
    return reading((SAMPLES / name).read_bytes())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_is_read_as_expected(name):
    read = sample(name)
    kinds, codes = EXPECTED[name]

    assert [claim.kind for claim in read.claims] == kinds
    assert read.codes == codes
    assert read.closed.accepted == bool(kinds)


def test_every_sample_is_expected():
    assert {str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("*.835")} == set(EXPECTED)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.835")), ids=lambda path: path.name)
def test_a_sound_sample_is_acknowledged_as_accepted(path):
    assert [(one.kind in ("999", "997"), one.code) for one in answers(path.read_bytes())] == [(True, "A")]


@pytest.mark.parametrize(("name", "content"), list(remittances(date(2026, 11, 21))))
def test_the_samples_of_the_demo_are_acknowledged_as_accepted(name, content):
    assert [(one.kind, one.code) for one in answers(content)] == [("999", "A")]


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_an_amount_that_the_file_ends_in_is_never_taken_for_a_smaller_one(cut):
    whole = (SAMPLES / "issues/last-segment-without-terminator.835").read_bytes()  # … CAS*CO*197*480
    (claim,) = reading(whole[: len(whole) - cut]).claims

    assert [(item.reason, item.amount) for item in claim.denied] == [("197", 480)]


def test_five_equal_claims_are_five_events():
    read = sample("issues/equal-claims.835")

    assert len({event_id(ORGANIZATION, read.headers[0], claim) for claim in read.claims}) == 5


def test_segments_without_elements_keep_no_claim_from_its_event():
    read = sample("issues/bare-segments.835")
    made = [claim_event(claim, read.headers[0], context(), None) for claim in read.claims]

    assert [event.claim_number for event in made] == ["LV-1001", "LV-1002"]
