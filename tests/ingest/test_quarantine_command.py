"""`reprieve quarantine` asks ingest for what was named, and shows it to people and to programs."""

from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest
from typer.testing import CliRunner, Result

from services.ingest import quarantine_commands
from shared.http.client import Stack

ID = "0f0e0d0c-0b0a-4a0b-8c0d-0e0f00010203"
CLAIM = {
    "quarantine_id": ID,
    "remittance_id": ID.replace("0f", "1f"),
    "receipt_id": ID.replace("0f", "2f"),
    "payer_name": "COBBLESTONE MUTUAL OF THE [WEST]",
    "payer_date": "2026-11-03",
    "position": 2,
    "byte_offset": 12345,
    "charge_amount": None,
    "state": "quarantined",
    "reason": None,
    "findings": [
        {
            "code": "claim_unreadable",
            "message": "The claim cannot be read.",
            "remedy": "Ask the payer.",
            "severity": "error",
            "segment_id": "CLP",
            "element": 3,
        }
    ],
}
DETAIL = CLAIM | {
    "needed": ["charge_amount"],
    "allowed": ["charge_amount", "payer_claim_number"],
    "segments": [{"segment_id": "CLP", "elements": ["•••", "1", "5XX"]}],
    "segments_cut": False,
    "becomes": "denied",
}

Run = Callable[..., tuple[Result, list[httpx2.Request]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against an ingest that gives these answers, one after the other."""

    def run(*words: str, answers: list[Any], columns: int = 80) -> tuple[Result, list[httpx2.Request]]:
        asked: list[httpx2.Request] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            return httpx2.Response(200, json=answers[len(asked) - 1])

        class Ingest:
            def client(self, service: str, role: str) -> httpx2.Client:
                assert (service, role) == ("ingest", "supervisor")
                return httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://ingest")

        monkeypatch.setattr(Stack, "find", lambda _: Ingest())
        done = CliRunner(env={"COLUMNS": str(columns)}).invoke(quarantine_commands.quarantine, words)
        assert done.exit_code == 0, done.output
        return done, asked

    return run


def page(*claims: Any, cursor: str | None = None) -> dict[str, Any]:
    return {"data": list(claims), "next_cursor": cursor, "has_more": cursor is not None}


@pytest.mark.parametrize("columns", [20, 60, 80])
def test_a_charge_is_whole_on_any_screen(run: Run, columns: int):
    done, _ = run("list", answers=[page(CLAIM | {"charge_amount": "300.00"})], columns=columns)

    assert {ID, "$300.00"} <= set(done.stdout.split())
    assert columns < 80 or max(map(len, done.stdout.splitlines())) <= columns


def test_what_waits_is_listed_with_whole_ids_on_a_narrow_screen(run: Run):
    done, (first, second) = run("list", answers=[page(CLAIM, cursor="c"), page(CLAIM)])

    assert dict(first.url.params) == {"state": "quarantined", "limit": "50"}
    assert dict(second.url.params) == {"state": "quarantined", "limit": "49", "cursor": "c"}
    assert done.stdout.count(ID) == 2
    assert "unreadable" in done.stdout
    assert "[WEST]" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_programs_get_every_claim_of_a_remittance_as_a_line(run: Run):
    done, (asked,) = run(
        "list", "--state", "all", "--remittance", ID, "--format", "json", answers=[page(CLAIM, CLAIM)]
    )

    assert dict(asked.url.params) == {"remittance_id": ID, "limit": "50"}
    assert [msgspec.json.decode(line) for line in done.stdout.splitlines()] == [CLAIM, CLAIM]


def test_a_claim_is_shown_with_what_may_be_supplied_for_it(run: Run):
    done, (asked,) = run("show", ID, answers=[DETAIL])

    assert asked.url.path == f"/v1/quarantine/{ID}"
    assert "must be supplied: --charge-amount\n" in done.stdout
    assert "may be supplied: --charge-amount, --payer-claim-number\n" in done.stdout
    assert "  CLP*•••*1*5XX\n" in done.stdout
    assert "element 3: The claim cannot be read. Ask the payer.\n" in done.stdout


@pytest.mark.parametrize(
    ("words", "path", "told"),
    [
        (["release", "--charge-amount", "5.00"], "release", {"reason": "why", "charge_amount": "5.00"}),
        (["dismiss"], "dismiss", {"reason": "why"}),
    ],
)
def test_what_a_person_says_is_sent(run: Run, words: list[str], path: str, told: dict[str, str]):
    done, (asked,) = run(*words, ID, "--reason", "why", answers=[DETAIL])

    assert (asked.method, asked.url.path) == ("POST", f"/v1/quarantine/{ID}/{path}")
    assert msgspec.json.decode(asked.content) == told
    assert ID in done.stdout


@pytest.mark.parametrize(
    ("becomes", "said"),
    [("denied", "becomes a denial: its case"), ("adjudicated", "becomes no denial: it opens no case")],
)
def test_a_release_says_what_the_claim_becomes(run: Run, becomes: str, said: str):
    done, _ = run(
        "release", ID, "--reason", "why", "--charge-amount=5", answers=[DETAIL | {"becomes": becomes}]
    )

    assert said in done.stdout
