"""`reprieve dlq` shows what was laid aside and sends it again."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from shared.errors import InvalidInputError
from tests.reconcile.conftest import ORGANIZATION, FakeService, FakeStack, run


def park(service: FakeService, *, reason: str, minute: int = 0, has_more: bool = False) -> UUID:
    message_id = uuid4()
    answer = service.answers.setdefault("/v1/parked", {"data": [], "has_more": has_more})
    answer["data"].append(
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
        service.answers["/v1/parked"] = {"data": [], "has_more": False}


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
    stack.ingest.answers.clear()
    park(stack.ingest, reason="KeyError", has_more=True)

    assert "ingest has more than 1,000." in run("dlq", "list").output


def test_one_message_is_replayed_at_its_owner(stack: FakeStack):
    park(stack.triage, reason="KeyError")
    wanted = park(stack.triage, reason="KeyError")
    result = run("dlq", "replay", "--id", str(wanted))

    assert (result.exit_code, result.output.strip()) == (0, "triage: 1 sent again")
    assert [body for path, body in stack.triage.asked if path == "/v1/parked/replay"] == [
        {"items": [{"organization_id": str(ORGANIZATION), "message_id": str(wanted), "revision": 1}]}
    ]
    assert [path for path, _ in stack.ingest.asked] == ["/v1/parked?limit=1000"]


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
