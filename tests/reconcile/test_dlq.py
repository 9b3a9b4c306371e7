"""`reprieve dlq` shows what was laid aside and sends it again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.errors import InvalidInputError
from tests.reconcile.conftest import ORGANIZATION, FakeService, FakeStack, run


class ParkedMessages:
    """What a service has parked, a page of it at a time, as its route answers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, query: dict[str, list[str]]) -> dict[str, Any]:
        wanted = query.get("message_id")
        found = [one for one in self.messages if wanted is None or one["message_id"] in wanted]
        found.sort(key=lambda one: one["parked_at"])
        limit = int(query["limit"][0])
        return {"data": found[:limit], "has_more": len(found) > limit}


def park(service: FakeService, *, reason: str, minute: int = 0) -> UUID:
    message_id = uuid4()
    service.answers["/v1/parked"].messages.append(
        {
            "organization_id": str(ORGANIZATION),
            "message_id": str(message_id),
            "revision": 1,
            "type": "ClaimDenied",
            "reason": reason,
            "parked_at": datetime(2026, 3, 2, 9, minute, tzinfo=UTC).isoformat(),
        }
    )
    return message_id


@pytest.fixture(autouse=True)
def _nothing_parked(stack: FakeStack) -> None:
    for service in (stack.ingest, stack.triage, stack.tracker):
        service.answers["/v1/parked"] = ParkedMessages()


def test_nothing_parked_is_said(stack: FakeStack):
    result = run("dlq", "list")

    assert (result.exit_code, result.output.strip()) == (0, "Nothing is parked.")


def test_parked_messages_of_all_services_are_listed_the_oldest_first(stack: FakeStack):
    later = park(stack.ingest, reason="UnreadableError", minute=5)
    earlier = park(stack.tracker, reason="KeyError")
    result = run("dlq", "list")

    assert result.exit_code == 0
    assert result.output.index(str(earlier)) < result.output.index(str(later))
    assert "KeyError" in result.output
    assert str(later) in run("dlq", "list", "--format", "json").output


def test_a_list_that_is_not_all_says_so(stack: FakeStack):
    for _ in range(1001):
        park(stack.ingest, reason="KeyError")

    assert "ingest has more than 1,000." in run("dlq", "list").output


def test_one_message_is_replayed_at_its_owner(stack: FakeStack):
    park(stack.triage, reason="KeyError")
    wanted = park(stack.triage, reason="KeyError")
    result = run("dlq", "replay", "--id", str(wanted))

    assert (result.exit_code, result.output.strip()) == (0, "triage: 1 sent again")
    assert [body for path, body in stack.triage.asked if path == "/v1/parked/replay"] == [
        {"items": [{"organization_id": str(ORGANIZATION), "message_id": str(wanted), "revision": 1}]}
    ]
    assert [path for path, _ in stack.ingest.asked] == [f"/v1/parked?limit=1000&message_id={wanted}"]


def test_the_newest_of_very_many_is_replayed(stack: FakeStack):
    for _ in range(1001):
        park(stack.ingest, reason="KeyError")
    newest = park(stack.ingest, reason="KeyError", minute=59)
    result = run("dlq", "replay", "--id", str(newest))

    assert (result.exit_code, result.output.strip()) == (0, "ingest: 1 sent again")


def test_many_ids_are_asked_for_some_at_a_time(stack: FakeStack):
    wanted = [park(stack.tracker, reason="KeyError") for _ in range(120)]
    unknown = uuid4()
    result = run("dlq", "replay", *(part for one in [*wanted, unknown] for part in ("--id", str(one))))

    sent = [item["message_id"] for _, body in stack.tracker.asked if body for item in body["items"]]
    assert sorted(sent) == sorted(map(str, wanted))
    assert "tracker: 120 sent again" in result.output
    assert result.output.count("is not parked") == result.exit_code == 1
    assert max(len(path) for path, _ in stack.tracker.asked) < 4000


def test_everything_is_replayed_everywhere(stack: FakeStack):
    result = run("dlq", "replay", "--all")

    assert result.exit_code == 0
    for service in (stack.ingest, stack.triage, stack.tracker):
        assert service.asked == [("/v1/parked/replay", {"all": True})]


def test_an_id_that_is_not_parked_is_a_finding(stack: FakeStack):
    unknown = uuid4()
    result = run("dlq", "replay", "--id", str(unknown))

    assert result.exit_code == 1
    assert f"{unknown} is not parked" in result.output


def test_replay_wants_to_be_told_what(stack: FakeStack):
    assert isinstance(run("dlq", "replay").exception, InvalidInputError)
    assert isinstance(run("dlq", "replay", "--all", "--id", str(uuid4())).exception, InvalidInputError)
