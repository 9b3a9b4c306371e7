"""`reprieve reconcile` names what is missing, at which step, and what to do."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.errors import NotFoundError, UnavailableError, UnreadableError
from tests.reconcile.conftest import ORGANIZATION, FakeStack, run


def test_everything_that_agrees_is_shown_to_the_cent_and_exits_0(stack: FakeStack):
    stack.add_event(denied="100.10")
    stack.add_event(denied="0.05")
    stack.add_remittance()
    result = run("reconcile")

    assert result.exit_code == 0, result.output
    assert "Everything agrees to the cent" in result.output
    assert "$580.00" in result.output
    assert "$100.15" in result.output
    assert str(stack.remittance_id) in result.output


def test_an_installation_without_claims_agrees(stack: FakeStack):
    assert run("reconcile").exit_code == 0


def test_json_is_one_object_with_amounts_as_strings(stack: FakeStack):
    event_id = stack.add_event(recorded=False)
    stack.add_remittance()
    result = run("reconcile", "--format", "json", "--wait", "0")

    shown = json.loads(result.stdout)
    assert result.exit_code == 1
    assert shown["agrees"] is False
    assert shown["total"]["events"] == {"count": 1, "charged": "250.00", "denied": "100.00"}
    assert shown["remittances"][0]["missing"]["count"] == 1
    assert [(one["event_id"], one["verdict"], one["step"]) for one in shown["findings"]] == [
        (str(event_id), "missing", "tracker")
    ]


@pytest.mark.parametrize(
    ("event", "verdict", "step"),
    [
        ({"decided": None, "recorded": False}, "missing", "triage"),
        ({"recorded": False}, "missing", "tracker"),
        ({"decided": None, "recorded": False, "state": "parked"}, "parked", "triage"),
        ({"decided": "parked", "recorded": False}, "parked", "tracker"),
        ({"decided": None, "recorded": False, "state": "open"}, "in_flight", "triage"),
        ({"decided": None, "recorded": False, "state": "staged"}, "staged", "triage"),
        (
            {"decided": None, "recorded": False, "state": "staged", "age": timedelta(hours=1)},
            "staged",
            "triage",
        ),
        ({"decided": "open", "recorded": False, "state": "open"}, "in_flight", "tracker"),
        (
            {"decided": None, "recorded": False, "state": "open", "age": timedelta(hours=1)},
            "overdue",
            "triage",
        ),
        ({"decided": "open", "recorded": False, "age": timedelta(hours=1)}, "overdue", "tracker"),
        ({"triage": {"denied_amount": "99.99"}}, "disagrees", "triage"),
        ({"tracker": {"charge_amount": "250.01"}}, "disagrees", "tracker"),
        ({"triage": {"latest_decision_revision": 2}}, "missing", "tracker"),
        ({"triage": {"latest_decision_revision": 2, "state": "open"}}, "in_flight", "tracker"),
        ({"tracker": {"decision_revision": 2}}, "disagrees", "tracker"),
    ],
)
def test_what_is_absent_or_differs_is_named_with_its_step(stack: FakeStack, event, verdict, step):
    stack.add_event()
    event_id = stack.add_event(**event)
    stack.add_remittance()
    shown = run("reconcile", "--format", "json", "--wait", "0")
    table = run("reconcile", "--wait", "0")

    assert (shown.exit_code, table.exit_code) == (1, 1)
    assert [
        (one["event_id"], one["verdict"], one["step"]) for one in json.loads(shown.stdout)["findings"]
    ] == [(str(event_id), verdict, step)]
    assert str(event_id) in table.output


@pytest.mark.parametrize("state", ["open", "parked"])
def test_what_the_ledger_has_agrees_whatever_the_stamps_say(stack: FakeStack, state: str):
    stack.add_event(state=state, decided=state)
    stack.add_remittance()

    assert run("reconcile", "--wait", "0").exit_code == 0


def test_amounts_that_differ_only_in_how_they_are_written_agree(stack: FakeStack):
    stack.add_event(triage={"charge_amount": "250"}, tracker={"denied_amount": "100.000"})
    stack.add_remittance()

    assert run("reconcile").exit_code == 0


def test_a_superseded_revision_must_arrive_but_counts_once(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    for service, what in ((stack.ingest, "events"), (stack.triage, "decisions"), (stack.tracker, "ledger")):
        (first,) = service.lines[what]
        service.lines[what] = [
            first | {"charge_amount": "999.00", "denied_amount": "1.00"},
            first | {"revision": 2},
        ]
    assert run("reconcile").exit_code == 0

    del stack.tracker.lines["ledger"][0]
    assert run("reconcile").exit_code == 1


def test_parked_events_are_shown_with_reason_and_remedy(stack: FakeStack):
    stack.add_event(decided="parked", recorded=False, parked_reason="KeyError")
    stack.add_remittance()
    result = run("reconcile")

    assert result.exit_code == 1
    assert "KeyError" in result.output
    assert "reprieve dlq replay" in result.output


def test_it_waits_for_what_is_on_its_way(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    late = stack.tracker.lines.pop("ledger")
    stack.triage.lines["decisions"][0]["state"] = "open"

    def arrive() -> None:
        if len(stack.tracker.asked) >= 3:
            stack.tracker.lines["ledger"] = late

    stack.tracker.asked = NotifyingList(arrive)
    result = run("reconcile", "--wait", "20")

    assert result.exit_code == 0, result.output
    assert len(stack.tracker.asked) >= 3


def test_a_difference_that_a_second_look_does_not_see_was_only_movement(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    late = stack.tracker.lines.pop("ledger")

    def arrive() -> None:
        if len(stack.tracker.asked) >= 2:
            stack.tracker.lines["ledger"] = late

    stack.tracker.asked = NotifyingList(arrive)

    assert run("reconcile", "--wait", "0").exit_code == 0


def test_repair_asks_the_owners_for_what_is_missing(stack: FakeStack):
    undecided = stack.add_event(decided=None, recorded=False)
    stack.add_event(recorded=False)
    stack.add_event(decided="parked", recorded=False)
    stack.add_remittance()
    result = run("reconcile", "--repair", "--wait", "0")

    unrecorded = next(one for one in stack.triage.lines["decisions"] if one["state"] == "settled")
    assert result.exit_code == 1
    assert "2 messages were made due again" in result.output
    assert posted(stack.ingest) == [
        {"organization_id": str(ORGANIZATION), "message_id": str(undecided), "revision": 1}
    ]
    assert posted(stack.triage) == [
        {"organization_id": str(ORGANIZATION), "message_id": unrecorded["latest_decision_id"], "revision": 1}
    ]


def test_repair_says_what_it_cannot_send_again_and_ends(stack: FakeStack):
    stack.add_event(recorded=False)
    stack.add_remittance()
    stack.triage.purged = 1
    result = run("reconcile", "--repair", "--wait", "0")

    assert result.exit_code == 1
    assert "1 messages cannot be sent again: what they said was purged" in result.output
    assert "made due again" not in result.output
    assert len(posted(stack.triage)) == 1


def test_repair_waits_until_what_was_sent_again_has_arrived(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    lost = stack.tracker.lines.pop("ledger")
    stack.triage.on_post = lambda: stack.tracker.lines.update(ledger=lost)
    result = run("reconcile", "--repair", "--wait", "20")

    assert result.exit_code == 0, result.output
    assert "1 messages were made due again" in result.output


def test_a_remittance_whose_claims_do_not_add_up_is_a_finding(stack: FakeStack):
    stack.add_event()
    stack.add_remittance(claims_read=9, charge_read_amount="330.01")
    result = run("reconcile")

    assert result.exit_code == 1
    assert "9 claims read, 3 accounted for" in result.output
    assert "$330.01 read, $330.00 accounted for" in result.output


def test_a_remittance_that_counts_more_events_than_there_are_is_a_finding(stack: FakeStack):
    stack.add_event()
    stack.add_remittance(evented=2, no_event=0, evented_charge_amount="300.00", no_event_charge_amount="0")

    assert run("reconcile").exit_code == 1


def test_a_remittance_that_is_still_being_read_is_waited_for(stack: FakeStack):
    stack.add_event(state="staged", decided=None, recorded=False)
    stack.add_remittance(released=False, claims_read=7)
    result = run("reconcile", "--wait", "0")

    assert result.exit_code == 1
    assert "still being read" in result.output
    assert "does not add up" not in result.output


def test_what_is_not_yet_released_is_named_with_its_receipt_and_not_sent_again(stack: FakeStack):
    stack.add_event(state="staged", decided=None, recorded=False, age=timedelta(hours=1))
    stack.add_remittance(released=False)
    result = run("reconcile", "--repair", "--wait", "0")

    assert result.exit_code == 1
    assert "Read, not yet released: 1." in result.output
    assert "see its receipt" in result.output
    assert stack.ingest.lines["remittances"][0]["receipt_id"] in result.output
    assert "--repair" not in result.output
    assert posted(stack.ingest) == []


def test_an_event_that_only_triage_knows_is_a_finding(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    stack.ingest.lines["events"].clear()
    stack.ingest.lines["remittances"].clear()
    result = run("reconcile", "--format", "json")

    assert [one["verdict"] for one in json.loads(result.stdout)["findings"]] == ["unknown"]


def test_one_remittance_is_compared_without_the_others(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    mine = list(stack.ingest.lines["events"])
    stack.add_event(remittance=uuid4())
    stack.ingest.lines["events"] = mine
    result = run("reconcile", "--remittance", str(stack.remittance_id))

    assert result.exit_code == 0, result.output
    assert stack.ingest.asked[0][0] == f"/v1/reconciliation/remittances?remittance_id={stack.remittance_id}"
    assert not [path for path, _ in stack.ingest.asked if "receipts" in path]


def test_a_day_is_asked_for_with_a_day_in_reserve_downstream(stack: FakeStack):
    assert run("reconcile", "--since", "2026-03-02").exit_code == 0
    assert [path for path, _ in stack.ingest.asked] == [
        f"/v1/reconciliation/{what}?since=2026-03-02" for what in ("receipts", "remittances", "events")
    ]
    assert stack.tracker.asked[0][0] == "/v1/reconciliation/ledger?since=2026-03-01"


def test_events_that_came_while_it_looked_are_left_for_the_next_time(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    stack.add_event(decided=None, recorded=False, state="open", age=timedelta(minutes=-5))

    assert run("reconcile", "--wait", "0").exit_code == 0


def test_many_remittances_leave_a_readable_page(stack: FakeStack):
    for _ in range(40):
        stack.remittance_id = uuid4()
        stack.add_remittance(
            claims_read=1, charge_read_amount="5.00", evented=0, evented_charge_amount="0",
            no_event=1, no_event_charge_amount="5.00", duplicates=0, duplicate_charge_amount="0", denied_amount="0",
        )  # fmt: skip
    result = run("reconcile")

    assert result.exit_code == 0, result.output
    assert "$200.00" in result.output
    assert str(stack.remittance_id) not in result.output


def test_a_remittance_that_nobody_knows_is_bad_usage(stack: FakeStack):
    assert isinstance(run("reconcile", "--remittance", str(uuid4())).exception, NotFoundError)


def test_an_answer_out_of_order_is_refused(stack: FakeStack):
    stack.add_event()
    stack.add_event()
    stack.add_remittance()
    stack.triage.lines["decisions"].reverse()

    assert isinstance(run("reconcile").exception, UnreadableError)


def test_a_line_that_cannot_be_read_names_the_service(stack: FakeStack):
    stack.tracker.lines["ledger"] = [{"event_id": "?"}]

    error = run("reconcile").exception
    assert isinstance(error, UnreadableError)
    assert "tracker" in str(error)


def test_an_answer_that_breaks_off_is_no_agreement(stack: FakeStack):
    stack.add_event()
    stack.add_remittance()
    stack.triage.broken_off = True

    error = run("reconcile").exception
    assert isinstance(error, UnavailableError)
    assert "triage" in str(error)


def posted(service) -> list[dict]:
    return [
        item for path, body in service.asked if path == "/v1/reconciliation/repair" for item in body["items"]
    ]


class NotifyingList(list):
    """Tells when something was asked."""

    def __init__(self, notify) -> None:
        super().__init__()
        self._notify = notify

    def append(self, item) -> None:
        super().append(item)
        self._notify()


def test_a_remittance_that_was_cut_is_named_and_no_full_agreement(stack: FakeStack):
    stack.add_event()
    stack.add_remittance(cut=True)
    result, shown = run("reconcile"), json.loads(run("reconcile", "--format", "json").stdout)

    assert result.exit_code == 0, result.output
    assert "Everything" not in result.output
    assert "(cut, receipt " in " ".join(result.output.split())
    assert "1 remittance was cut: ask for it again" in result.output
    assert "`reprieve push`" in result.output
    assert (shown["cut"], [one["cut"] for one in shown["remittances"]]) == (1, [1])
