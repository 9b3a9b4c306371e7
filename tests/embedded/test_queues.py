"""The queue, the feed and the files at a terminal, against a tracker that answers what the test says."""

import json
from contextlib import contextmanager

import httpx2
import pytest
from typer.testing import CliRunner

from services import queues
from services.queues import read_where
from shared.errors import InvalidInputError

CASE = {
    "case_id": "0a000000-0000-4000-8000-000000000001",
    "payer_name": "ACME",
    "claim_number": "A-1",
    "recommended_action": "appeal",
    "amount_at_stake": "100.00",
}


@pytest.fixture
def tracker(monkeypatch):
    """Answer with these, one after the other, and remember what was asked."""
    asked: list[httpx2.Request] = []

    def answers(*given: httpx2.Response) -> list[httpx2.Request]:
        left = list(given)

        def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            return left.pop(0)

        class Tracker:
            @contextmanager
            def client(self, *_: str):
                with httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://tracker") as one:
                    yield one

        monkeypatch.setattr(queues.Stack, "find", staticmethod(lambda *_: Tracker()))
        return asked

    return answers


def run(command, *arguments: str):
    import typer

    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None, result.output
    return result.stdout


def test_the_queue_says_why(tracker):
    queued = {
        "within": "a_day",
        "act_by": None,
        "reasons": [{"code": "deadline", "words": "deadline today"}],
        "case": CASE,
    }
    tracker(httpx2.Response(200, json={"data": [queued]}))

    told = run(queues.worklist)

    assert "deadline today" in told
    assert "a day" in told


def test_events_are_printed_over_pages_to_the_last(tracker):
    first = {"data": [{"n": 1}], "has_more": True, "next_cursor": "c1"}
    last = {"data": [{"n": 2}], "has_more": False, "next_cursor": "c2"}
    asked = tracker(httpx2.Response(200, json=first), httpx2.Response(200, json=last))

    told = [json.loads(line) for line in run(queues.events).splitlines()]

    assert told == [{"n": 1}, {"n": 2}]
    assert asked[1].url.params["cursor"] == "c1"


def test_an_export_is_written_whole_with_its_filters(tracker, tmp_path):
    asked = tracker(httpx2.Response(200, content=b"a,b\r\n"))

    run(queues.export_cases, str(tmp_path / "x.csv"), "--where", "tag=urgent", "--where", "state=open")

    assert (tmp_path / "x.csv").read_bytes() == b"a,b\r\n"
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]
    assert (asked[0].url.path, asked[0].url.params["tag"]) == ("/v1/cases.csv", "urgent")


def test_a_filter_without_a_value_is_refused():
    assert read_where(["state=open", "state=denied"]) == {"state": ["open", "denied"]}
    with pytest.raises(InvalidInputError):
        read_where(["state"])
