"""`reprieve replay` asks for what was named, and says how much of it there is."""

from typing import Any

import httpx2
import msgspec
import pytest

from services.ingest import replay_commands
from shared.errors import InvalidInputError
from shared.http.client import Stack

ID = "0f0e0d0c-0b0a-4a0b-8c0d-0e0f00010203"


class Ingest:
    """A stack whose ingest notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.count = 3

    def client(self, service: str, role: str) -> httpx2.Client:
        assert (service, role) == ("ingest", "operator")
        return httpx2.Client(transport=httpx2.MockTransport(self._answer), base_url="http://ingest")

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("POST", "/v1/replays")
        self.asked.append(msgspec.json.decode(request.content))
        return httpx2.Response(202, json={"asked": self.count, "unreadable": 1})


@pytest.fixture
def ingest(monkeypatch: pytest.MonkeyPatch) -> Ingest:
    stack = Ingest()
    monkeypatch.setattr(Stack, "find", lambda _: stack)
    return stack


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, {"outdated": True}),
        ({"quarantined": True}, {"quarantined": True}),
        ({"receipt": ID}, {"receipt_id": ID}),
        ({"remittance": ID}, {"remittance_id": ID}),
    ],
)
def test_what_was_named_is_asked_for(
    ingest: Ingest, capsys: pytest.CaptureFixture[str], options: dict[str, Any], asked: dict[str, Any]
):
    replay_commands.replay(**options)

    assert ingest.asked == [asked]
    assert capsys.readouterr().out.splitlines() == [
        "3 remittances are read again",
        "1 cannot be: their raw files were deleted",
    ]


def test_one_remittance_is_said_in_the_singular(ingest: Ingest, capsys: pytest.CaptureFixture[str]):
    ingest.count = 1
    replay_commands.replay(remittance=ID)  # type: ignore[arg-type]

    assert "1 remittance is read again" in capsys.readouterr().out


def test_two_things_at_once_are_refused(ingest: Ingest):
    with pytest.raises(InvalidInputError, match="More than one"):
        replay_commands.replay(receipt=ID, quarantined=True)
    assert ingest.asked == []
