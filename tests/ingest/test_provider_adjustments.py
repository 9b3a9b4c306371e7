"""A remittance as its people see it, and the claims that its provider adjustments may mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.provider_links import candidates_in
from services.ingest.domain.provider_reasons import REASONS
from tests.ingest.remittances import TestSet, denied, paid, remittance
from tests.ingest.site import Site


def provider_adjustment(reference: str, amount: int = 0, reason: str = "WO") -> str:
    return f"PLB*1234567893*20261231*{reason}:{reference}*{amount}"


async def shown(site: Site, trace: str, who: str = "viewer") -> dict[str, Any]:
    (row,) = await site.rows("select remittance_id from ingest.remittances where trace_number = :t", t=trace)
    answer = await site.get(f"/v1/remittances/{row.remittance_id}", who)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def links_of(site: Site, reference: str) -> list[tuple[str, str, str, str]]:
    await site.take_in(
        remittance(TestSet([paid("OTHER9")], trace="LINKS", raw=[provider_adjustment(reference)]), control=9)
    )
    (one,) = (await shown(site, "LINKS"))["provider_adjustments"]
    assert one["reference"] == reference.strip()
    return [
        (link["claim_number"], link["matched"], link["confidence"], link["kind"]) for link in one["links"]
    ]


async def test_a_remittance_shows_its_header_sums_balance_and_findings(site: Site):
    set_ = TestSet([denied("A1"), paid("A2")], raw=[provider_adjustment("X", amount=30, reason="L6")])
    await site.take_in(remittance(set_))
    one = await shown(site, "TRACE1")

    assert (one["payer_name"], one["payee_name"], one["payment_method"]) == (
        "SAMPLE HEALTH PLAN",
        "SAMPLE CLINIC",
        "ACH",
    )
    assert (one["claims_read"], one["charge_read_amount"], one["paid_read_amount"]) == (2, "1000", "500")
    assert one["balance_findings"] == [
        {"level": "transaction", "reported_amount": "500", "computed_amount": "470", "difference": "30"}
    ]
    assert [(found["code"], found["difference"]) for found in one["findings"]] == [
        ("set_out_of_balance", "30")
    ]
    assert one["provider_adjustments"][0]["meaning"] == REASONS["L6"]
    path = f"/v1/remittances/{one['remittance_id']}"
    assert (await site.get(path, "operator")).status_code == 403
    assert (await site.get(path, "submitter")).status_code == 404


@pytest.mark.parametrize(
    ("reference", "link"),
    [
        ("acct-7001", ("ACCT-7001", "claim_number", "medium", "adjudicated")),
        ("ICN2026000017", ("ACCT-7001", "payer_claim_number", "medium", "adjudicated")),
        ("RECOUP ACCT-7001 20260301", ("ACCT-7001", "claim_number", "low", "adjudicated")),
        ("ICN2026000017 HIC1234A", ("ACCT-7001", "payer_claim_number", "low", "adjudicated")),
    ],
)
async def test_a_reference_is_linked_to_a_claim_of_an_earlier_remittance(
    site: Site, reference: str, link: tuple
):
    earlier = TestSet([paid("ACCT-7001", payer_number="ICN2026000017"), paid("ACCT-7002")], trace="T1")
    await site.take_in(remittance(earlier, control=1))

    assert await links_of(site, reference) == [link]


async def test_what_names_no_claim_is_linked_to_none(site: Site):
    await site.take_in(remittance(TestSet([paid("ACCT-7001")], trace="T1"), control=1))

    assert await links_of(site, "20260301 OVERPAYMENT") == []


async def test_the_claims_of_the_remittance_itself_come_first(site: Site):
    await site.take_in(remittance(TestSet([paid("ACCT-7001")], trace="T1"), control=1))
    itself = TestSet([paid("ACCT-7001", charge=700)], trace="T2", raw=[provider_adjustment("ACCT-7001")])
    await site.take_in(remittance(itself, control=2))

    one = await shown(site, "T2")
    links = one["provider_adjustments"][0]["links"]
    assert [link["remittance_id"] == one["remittance_id"] for link in links] == [True, False]


async def test_a_remittance_of_provider_adjustments_alone_is_shown(site: Site):
    await site.take_in(remittance(TestSet([], trace="ALONE", raw=[provider_adjustment("ZZ", reason="ZZ")])))

    one = await shown(site, "ALONE")
    assert (one["claims_read"], one["balance_findings"]) == (0, [])
    assert [(a["reason"], a["meaning"], a["amount"]) for a in one["provider_adjustments"]] == [
        ("ZZ", None, "0")
    ]


@given(st.text(max_size=60))
def test_any_reference_gives_few_numbers_of_which_the_whole_is_first(reference: str):
    found = candidates_in(reference)

    assert 1 <= len(found) <= 8
    assert found[0].whole
    assert all(one.confidence == "low" for one in found[1:])
