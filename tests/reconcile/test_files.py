"""`reprieve reconcile` names what ingest did not finish: files not read, files given up, sets held."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.reconcile.conftest import FakeStack, run
from tests.reconcile.test_reconcile import NotifyingList

WAITED = timedelta(minutes=3)
HELD = {"held_sets": 2, "held_claims": 3, "held_charge_amount": "450.10"}


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


@pytest.fixture(autouse=True)
def _one_claim_that_agrees(stack: FakeStack) -> None:
    stack.add_event()
    stack.add_remittance()


@pytest.mark.parametrize(
    ("receipt", "verdict", "said"),
    [
        ({"status": "received"}, "being_read", "Nothing is lost, but not everything has arrived"),
        ({"status": "processing"}, "being_read", "Nothing is lost, but not everything has arrived"),
        ({"status": "received", "age": WAITED}, "stuck", "Not every file was read"),
        ({"status": "processing", "age": WAITED}, "stuck", "Not every file was read"),
        ({"status": "refused", "refused_reason": "defect"}, "given_up", "Not every file was read"),
    ],
)
def test_a_file_that_is_not_read_is_no_agreement(
    stack: FakeStack, receipt: dict[str, Any], verdict: str, said: str
):
    receipt_id = stack.add_receipt(**receipt)
    shown = run("reconcile", "--format", "json", "--wait", "0")
    table = run("reconcile", "--wait", "0")

    assert (shown.exit_code, table.exit_code) == (1, 1)
    assert [(one["receipt_id"], one["verdict"]) for one in json.loads(shown.stdout)["files"]] == [
        (receipt_id, verdict)
    ]
    assert receipt_id in table.output
    assert said in table.output
    assert "Everything agrees" not in table.output


def test_a_file_given_up_is_shown_with_the_way_back(stack: FakeStack):
    stack.add_receipt(status="refused", refused_reason="defect")
    result = run("reconcile", "--wait", "20")

    assert "reprieve push" in result.output
    assert "1 file given up" in last_line(result.output)
    assert len([path for path, _ in stack.ingest.asked if "receipts" in path]) == 1, "waiting mends nothing"


def test_a_file_that_waits_too_long_is_shown_with_the_process_to_look_at(stack: FakeStack):
    stack.add_receipt(status="received", age=WAITED)

    assert "Is ingest-worker running?" in run("reconcile", "--wait", "0").output


def test_a_file_just_pushed_is_waited_for_until_its_claims_are_in_the_ledger(stack: FakeStack):
    """The claims of a file that nobody has read yet are missing nowhere: only its receipt tells of them."""
    stack.add_receipt(status="received")

    def read_it() -> None:
        if len(stack.tracker.asked) == 2:
            stack.ingest.lines["receipts"].clear()
            stack.add_event(decided="open", recorded=False)
            stack.ingest.lines["remittances"].clear()
            stack.add_remittance()
        if len(stack.tracker.asked) == 4:
            stack.tracker.lines["ledger"] = [
                {name: line[name] for name in ("organization_id", "event_id", "revision")}
                | {"charge_amount": "250.00", "denied_amount": "100.00", "decision_revision": 1}
                for line in stack.ingest.lines["events"]
            ]

    stack.tracker.asked = NotifyingList(read_it)
    result = run("reconcile", "--wait", "20")

    assert result.exit_code == 0, result.output
    assert "2 decided, 2 in the ledger" in last_line(result.output)
    assert len(stack.tracker.asked) >= 4


def test_receipts_are_read_before_what_they_turn_into(stack: FakeStack):
    run("reconcile")

    assert stack.ingest.asked[0][0] == "/v1/reconciliation/receipts"


def test_held_claims_are_named_with_their_dollars_and_are_no_fault(stack: FakeStack):
    stack.add_receipt(**HELD)
    stack.add_receipt(**HELD | {"held_sets": 1, "held_claims": 1, "held_charge_amount": "0.05"})
    result = run("reconcile")

    assert result.exit_code == 0, result.output
    assert "4 claims ($450.15 charged) in 3 transaction sets of 2 files" in result.output
    assert "reprieve orgs payee add" in result.output
    assert "Everything" not in result.output
    assert "What was released agrees to the cent" in last_line(result.output)
    assert "4 claims ($450.15) held" in last_line(result.output)


def test_one_held_claim_is_said_in_the_singular(stack: FakeStack):
    stack.add_receipt(**HELD | {"held_sets": 1, "held_claims": 1, "held_charge_amount": "20.20"})
    result = run("reconcile")

    assert "1 claim ($20.20 charged) in 1 transaction set of 1 file, whose" in result.output
    assert "1 claim ($20.20) held" in last_line(result.output)
    assert "1 event (" in last_line(result.output)


def test_json_tells_what_is_held(stack: FakeStack):
    stack.add_receipt(**HELD)
    shown = json.loads(run("reconcile", "--format", "json").stdout)

    assert shown["agrees"] is True
    assert shown["held"] == {"files": 1, "sets": 2, "claims": 3, "charged": "450.10"}


def test_a_key_that_may_not_see_files_is_told_so(stack: FakeStack):
    stack.add_receipt(status="refused", refused_reason="defect")
    stack.ingest.denied = frozenset({"/v1/reconciliation/receipts"})
    result = run("reconcile")

    assert result.exit_code == 0, result.output
    assert "Everything" not in result.output
    assert "only an operator's key shows" in last_line(result.output)
