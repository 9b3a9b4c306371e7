"""`reprieve cases` prints the payer's own days, against a tracker that answers what the test says."""

import json
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, get_args

import httpx2
import pytest
from typer.testing import CliRunner

from services import cases
from services.tracker.domain.states import CLOSINGS, STATES, StepKind
from services.tracker.domain.steps import read_step

CASE = {
    "case_id": "0a000000-0000-4000-8000-000000000001",
    "payer_name": "ACME",
    "claim_number": "A-1",
    "purged_at": None,
    "category": "authorization_absent",
    "route": None,
    "state": "open",
    "closed_reason": None,
    "recommended_action": "appeal",
    "needs_human": False,
    "amount_at_stake": "100.00",
    "priority": 50,
    "next_deadline_at": "2026-11-25T04:59:59Z",
    "next_deadline_on": "2026-11-24",
    "next_deadline_zone": "America/Detroit",
    "days_left": 3,
    "may_have_closed": False,
    "requests": [],
    "documents": [],
    "documents_complete": None,
    "information_due_at": None,
    "follow_up_on": None,
    "assignee_id": None,
    "tags": [],
    "allowed_steps": [],
}
CLOCK = {
    "kind": "retro_authorization",
    "label": "Retroactive request",
    "status": "undetermined",
    "days_left": 3,
    "deadline_at": None,
    "earliest": "2026-11-24T23:59:59-05:00",
    "latest": "2027-02-08T04:59:59Z",
    "zone": "America/Detroit",
    "policy_status": "unconfirmed",
    "steps": [],
    "reasons": [],
    "missing_facts": [],
}


@pytest.fixture
def asked() -> list[httpx2.Request]:
    return []


@pytest.fixture
def printed(monkeypatch, asked):
    """Run a command against these answers, by the end of the path."""

    def run(*arguments: str, columns: int = 120, **answers: Any) -> str:
        def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            return httpx2.Response(200, json=answers[request.url.path.rsplit("/", 1)[-1].replace("-", "_")])

        class Tracker:
            @contextmanager
            def client(self, *_: str):
                with httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://tracker") as one:
                    yield one

        monkeypatch.setattr(cases.Stack, "find", lambda _: Tracker())
        done = CliRunner(env={"COLUMNS": str(columns)}).invoke(cases.cases, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def listed(printed, columns: int = 120, **changes: Any) -> str:
    return printed("list", columns=columns, cases={"data": [CASE | changes], "next_cursor": None})


def shown(printed, *clocks: dict[str, Any], timeline: Sequence[dict[str, Any]] = (), **changes: Any) -> str:
    decision = {"next_actions": ["Appeal"], "channel": None, "contacts": [], "clocks": list(clocks)}
    case_id = CASE["case_id"]
    return printed(
        "show",
        case_id,
        **{
            case_id.replace("-", "_"): CASE | {"decision": decision, "purged_at": None} | changes,
            "timeline": {"data": list(timeline)},
        },
    )


def test_a_step_is_said_in_words_and_what_a_person_wrote_as_it_was_written(printed):
    told = {
        "request": "retro_authorization",
        "outcome": "partly_approved",
        "authorization_number": "pa_2026_0042",
    }
    step = {"kind": "determine", "made_role": "biller", "told": told}
    tag = {"kind": "tag", "made_role": "biller", "told": {"tag": "high_dollar"}}
    entries = [
        {"at": "2026-11-21T12:00:00Z", "kind": "step", "step": one, "state": None} for one in (step, tag)
    ]

    said = shown(printed, timeline=entries)

    assert "retro authorization, partly approved, pa_2026_0042" in said
    assert "tag: high_dollar" in said


def test_a_deadline_is_the_payers_day(printed):
    text = listed(printed)

    assert "2026-11-24" in text
    assert "3 days left" in text
    assert "2026-11-25" not in text


@pytest.mark.parametrize(("days", "words"), [(0, "today"), (1, "1 day left")])
def test_the_last_days_are_said_in_words(printed, days, words):
    assert words in listed(printed, days_left=days)


def test_a_range_is_shown_as_a_range_and_an_unconfirmed_policy_as_one(printed):
    line = "undetermined, 2026-11-24 to 2027-02-07, 3 days left, policy unconfirmed"

    assert line in " ".join(shown(printed, CLOCK).split())


def test_a_clock_names_the_kinds_of_facts_that_it_hangs_on_while_it_may_run(printed):
    unsure = CLOCK | {"missing_facts": ["network_status", "retro_eligibility"]}

    assert "it hangs on: network_status, retro_eligibility" in shown(printed, unsure)
    assert "it hangs on" not in shown(printed, unsure | {"status": "not_permitted"})


def test_a_fact_is_sent_as_it_was_told_and_said_in_words(printed, asked):
    recorded = {"kind": "network_status", "value": "in"}

    said = printed("fact", CASE["case_id"], "network_status", "in", "--note", "contract", facts=recorded)

    [request] = asked
    assert json.loads(request.content) == recorded | {"note": "contract"}
    assert "idempotency-key" in request.headers
    assert "Recorded: whether the provider is in the network: in." in said


def test_a_clock_that_has_passed_has_no_days_left(printed):
    passed = CLOCK | {"status": "expired", "days_left": 0, "policy_status": "confirmed"}

    assert shown(printed, passed).count("today") == 0


def test_a_denial_of_another_team_names_the_team_and_no_action_of_ours(printed):
    theirs = {
        "state": "closed",
        "closed_reason": "not_our_denial",
        "category": "not_authorization",
        "route": "timely_filing",
        "recommended_action": "route_elsewhere",
    }

    assert "to timely filing" in listed(printed, **theirs)
    assert "next: to timely filing" in shown(printed, **theirs)


def test_a_decision_that_moved_a_deadline_says_from_when_to_when_and_why(printed):
    moved = {
        "field": "clocks.retro_authorization",
        "before": "2026-03-31T23:59:59-06:00",
        "after": "2026-04-15T23:59:59-06:00",
    }
    decision = {
        "decision_revision": 2,
        "category": "authorization_absent",
        "changes": [
            moved,
            {"field": "recommended_action", "before": "search_existing_authorization", "after": "appeal"},
        ],
        "because": [{"said": "policy plan-a version 2 published by the admin: the page changed"}],
    }
    entry = {"at": "2026-03-02T10:00:00Z", "kind": "decision", "decision": decision}
    story = shown(printed, timeline=[entry])

    assert "because policy plan-a version 2 published by the admin: the page changed" in story
    assert "retro authorization: 2026-03-31 → 2026-04-15" in story
    assert "recommended action: search existing authorization → appeal" in story


@pytest.mark.parametrize("columns", [20, 60, 80, 120])
def test_an_amount_a_deadline_and_an_id_are_whole_on_any_screen(printed, columns):
    text = listed(
        printed, columns, payer_name="COBBLESTONE MUTUAL OF THE WEST " * 2, amount_at_stake="12300.00"
    )

    words = text.split()
    assert {"$12,300.00", "2026-11-24", CASE["case_id"]} <= set(words)
    assert "3 days left" in text
    assert words.count("COBBLESTONE") == 2, "long text is folded and not cut"
    assert columns < 80 or max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize(
    ("options", "states"),
    [
        ([], [one for one in STATES if one not in ("reversed", "closed")]),
        (["--state", "paid", "--state", "closed"], ["paid", "closed"]),
        (["--claim-number", "A-1"], []),
    ],
)
def test_open_cases_are_listed_unless_others_are_asked_for(printed, asked, options, states):
    printed("list", *options, cases={"data": [], "next_cursor": None})

    assert asked[0].url.params.get_list("state") == states


def test_a_case_says_what_people_are_at_and_what_is_possible(printed):
    step = {"kind": "submit", "made_role": "biller", "told": {"request": "retro_authorization", "level": 1}}
    entry = {
        "at": "2026-01-12T10:00:00Z",
        "kind": "step",
        "state": "submitted",
        "closed_reason": None,
        "step": step,
    }
    story = shown(
        printed,
        timeline=[entry],
        may_have_closed=True,
        requests=[
            {
                "kind": "appeal",
                "level": 2,
                "state": "submitted",
                "reference": "R-1",
                "superseded": False,
            }
        ],
        documents=[{"document": "Missing: notes", "state": "missing", "file_ids": []}],
        documents_complete=0.5,
        follow_up_on="2026-01-26",
        allowed_steps=["determine", "information_requested"],
    )

    assert "may have closed: act today" in story
    assert "request: appeal, level 2: submitted, reference R-1" in story
    assert "papers: 50% there" in story
    assert "[ ] Missing: notes" in story
    assert "ask the payer again on 2026-01-26" in story
    assert "now possible: determine, information requested" in story
    assert "biller: submit: retro authorization → submitted" in story


CASE_ID, WHO = CASE["case_id"], "0c000000-0000-4000-8000-000000000001"
COMMANDS = {
    "prepare": ["prepare", CASE_ID, "appeal", "--level", "2"],
    "submit": ["submit", CASE_ID, "retro_authorization", "--channel", "fax", "--on", "2026-01-12"],
    "information_requested": ["asked", CASE_ID, "referral", "the notes", "--due-on", "2026-02-01"],
    "information_sent": ["answered", CASE_ID, "referral", "--channel", "portal"],
    "peer_to_peer": ["peer-to-peer", CASE_ID, "scheduled", "--on", "2026-02-01"],
    "determine": [
        "determine",
        CASE_ID,
        "appeal",
        "approved",
        "--authorization-number",
        "A-7",
        "--units",
        "2",
    ],
    "withdraw": ["withdraw", CASE_ID, "appeal", "a new request is quicker"],
    "corrected_claim_sent": ["corrected-claim", CASE_ID],
    "follow_up_scheduled": ["follow-up", CASE_ID, "--next-on", "2026-02-01"],
    "follow_up_done": ["follow-up", CASE_ID, "still in review"],
    "note": ["note", CASE_ID, "called"],
    "tag": ["tag", CASE_ID, "mri"],
    "untag": ["tag", CASE_ID, "mri", "--remove"],
    "assign": ["assign", CASE_ID, WHO],
    "unassign": ["assign", CASE_ID],
    "document_checked": ["document", CASE_ID, "Missing: notes"],
    "document_unchecked": ["document", CASE_ID, "Missing: notes", "--missing"],
    "file_removed": ["remove-file", CASE_ID, WHO, "another patient's"],
    "close": ["close", CASE_ID, "expired"],
    "reopen": ["reopen", CASE_ID, "the payer calls"],
}


# A file is attached by sending it: tests/embedded/test_stories.py.
@pytest.mark.parametrize("kind", [kind for kind in get_args(StepKind) if kind != "file_attached"])
def test_every_step_has_a_command_that_sends_it_as_the_tracker_reads_it(printed, asked, kind):
    taken = {
        "case": CASE | {"version": 2, "state": "closed", "closed_reason": "expired"},
        "allowed_steps": ["reopen", "note"],
    }

    told = printed(*COMMANDS[kind], steps=taken)

    [request] = asked
    assert read_step(request.content).kind == kind
    assert "idempotency-key" in request.headers
    assert "The case is closed (expired), version 2." in told
    assert "Now possible: reopen, note." in told


def test_the_commands_know_the_words_of_the_tracker():
    from services import case_steps
    from services.tracker.domain.steps import Channel, RequestKind

    assert set(case_steps.Request) == set(get_args(RequestKind))
    assert set(case_steps.Channel) == set(get_args(Channel))
    assert set(case_steps.Reason) == {closing.reason for closing in CLOSINGS}


HOSTILE = "ACME\x1b]52;c;cm0gLXJm\x07\x1b[2J\x9b31m [bold]Health[/bold]"


def test_what_a_file_says_moves_no_cursor_and_sets_no_clipboard(printed):
    said = {"payer_name": HOSTILE, "claim_number": "A\r\x1b[1A"}
    step = {"told": {"note": HOSTILE}, "kind": "note", "made_role": "biller"}
    entry = {"at": "2026-11-20T10:00:00Z", "kind": "step", "step": step}

    for text in (listed(printed, **said), shown(printed, timeline=[entry], **said)):
        assert not [sign for sign in text if not sign.isprintable() and sign != "\n"]
        assert "[bold]" in text
