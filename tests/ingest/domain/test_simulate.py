from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.simulate import PAYERS, SimulatedPayer, Simulation, npi, simulate
from tests.ingest.domain.files import reading


def simulated(**wanted):
    return b"".join(simulate(Simulation(**wanted)))


@settings(deadline=None)
@given(
    st.integers(0, 10**12),
    st.integers(0, 40),
    st.integers(1, 15),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_simulated_remittances_have_no_findings_and_the_claims_wanted(
    seed, claims, per_set, denied, taken_back
):
    read = reading(
        simulated(seed=seed, claims=claims, claims_per_set=per_set, denied=denied, reversed=taken_back)
    )

    assert len(read.claims) == claims
    if claims:
        assert read.codes == []
        assert read.closed.complete


def test_the_same_seed_gives_the_same_bytes():
    assert simulated(seed=3, claims=50) == simulated(seed=3, claims=50) != simulated(seed=4, claims=50)


def test_the_mix_is_what_was_asked_for():
    claims = reading(simulated(claims=4000, denied=0.15, reversed=0.02)).claims
    shares = {
        kind: sum(claim.kind == kind for claim in claims) / len(claims) for kind in ("denied", "reversed")
    }

    assert 0.12 < shares["denied"] < 0.18
    assert 0.01 < shares["reversed"] < 0.03


def test_everything_may_be_denied_and_nothing():
    assert {claim.kind for claim in reading(simulated(claims=60, denied=1, reversed=0)).claims} == {"denied"}
    assert {claim.kind for claim in reading(simulated(claims=60, denied=0, reversed=0)).claims} == {
        "adjudicated"
    }


def test_a_size_is_reached_with_the_last_set():
    content = simulated(claims=None, size_bytes=200_000, claims_per_set=50)

    assert 200_000 <= len(content) < 300_000


def test_payers_payee_and_date_are_those_asked_for():
    read = reading(
        simulated(
            claims=3,
            claims_per_set=1,
            payers=(SimulatedPayer("ONE", "1", "12"), SimulatedPayer("TWO", "2", "12")),
            payee_npi="1982736450",
            payee_tin="123456789",
            paid_on=date(2026, 1, 5),
            is_test=True,
        )
    )

    assert [header.payer.name for header in read.headers] == ["ONE", "TWO", "ONE"]
    assert {header.payee_identifiers for header in read.headers} == {("1982736450", "123456789")}
    assert [header.payment_on for header in read.headers] == [date(2026, 1, 5)] * 2 + [date(2026, 1, 6)]
    assert all(header.is_test for header in read.headers)
    assert len(PAYERS) > 5


def test_a_reversal_and_its_correction_stand_in_one_set():
    read = reading(simulated(claims=400, claims_per_set=100, reversed=0.3, seed=2))
    reversals = [claim for claim in read.claims if claim.kind == "reversed"]

    assert reversals
    for reversal in reversals:
        after = [
            claim
            for claim in read.claims
            if claim.claim_number == reversal.claim_number and claim is not reversal
        ]
        assert [claim.charge_amount for claim in after] == [-reversal.charge_amount]


def test_payments_are_never_negative():
    assert all(
        header.payment_amount >= Decimal(0)
        for header in reading(simulated(claims=300, reversed=0.5, denied=0.9)).headers
    )


@pytest.mark.parametrize("nine", ["123456789", "198273645", "000000000"])
def test_npis_have_luhns_check_digit(nine):
    digits = [int(digit) for digit in "80840" + npi(nine)]
    doubled = [digit * 2 if index % 2 == len(digits) % 2 else digit for index, digit in enumerate(digits)]

    assert sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
    assert npi("123456789") == "1234567893"
