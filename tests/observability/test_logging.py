"""No patient gets into a log: not by a key, a value, a name of an event, an exception, a local or a library."""

# ruff: noqa: G004, TRY301  (what nobody should write is what must not leak)

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import structlog

from shared.contracts.person import Person
from shared.errors import InvalidInputError
from shared.observability.logging import ALLOWED_KEYS, WITHHELD, configure_logging

NAME, MEMBER = "PLANTED DOE", "PLANTEDW123456789"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Configure logging and read what was written, one object a line."""
    handlers, level = logging.root.handlers[:], logging.root.level
    configure_logging("test", "DEBUG")

    def read() -> list[dict[str, Any]]:
        written = capsys.readouterr().err
        assert "PLANTED" not in written
        return [json.loads(line) for line in written.splitlines()]

    yield read
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()


def test_a_line_has_time_process_level_event_and_its_keywords(lines: Lines):
    receipt = uuid4()
    structlog.get_logger().info(
        "file_read", receipt_id=receipt, claims=7, denied_amount=Decimal("18240.00"), outcome="processed"
    )
    (line,) = lines()
    assert datetime.fromisoformat(line.pop("at")).tzinfo == UTC
    assert line == {
        "process": "test",
        "level": "info",
        "event": "file_read",
        "receipt_id": str(receipt),
        "claims": 7,
        "denied_amount": "18240.00",
        "outcome": "processed",
    }


def test_unknown_keys_are_dropped_and_named(lines: Lines):
    structlog.get_logger().info(
        "claim_read", patient=NAME, member_id=MEMBER, claim_number=MEMBER, claims=1, **{NAME: 1}
    )
    (line,) = lines()
    assert line["dropped_keys"] == [WITHHELD, "claim_number", "member_id", "patient"]
    assert line["claims"] == 1


def test_a_patient_under_an_allowed_key_is_withheld(lines: Lines):
    log = structlog.get_logger()
    for key in sorted(ALLOWED_KEYS):
        log.info("planted", **{key: NAME})
        log.info("planted", **{key: [NAME]})
        log.info("planted", **{key: {"name": NAME}})
        log.info("planted", **{key: Person(last=NAME, member_id=MEMBER)})
        log.info("planted", **{key: InvalidInputError(NAME)})
    assert len(lines()) == 5 * len(ALLOWED_KEYS)


def test_ids_counts_and_instants_keep_their_form(lines: Lines):
    log = structlog.get_logger()
    log.info("planted", organization_id=MEMBER, claims=MEMBER, since=MEMBER)
    log.info(
        "kept", message_id=f"{uuid4()}:3", since="2026-11-21", as_of=datetime.now(UTC).date(), partitions={1}
    )
    withheld, kept = lines()
    assert {withheld[key] for key in ("organization_id", "claims", "since")} == {WITHHELD}
    assert WITHHELD not in json.dumps(kept)
    assert kept["partitions"] == [1]


def test_an_event_with_values_in_its_name_loses_them(lines: Lines):
    structlog.get_logger().info(f"claim of {NAME} failed")
    structlog.get_logger().info("claim %s failed", NAME)
    assert [line["event"] for line in lines()] == ["misnamed_event", "misnamed_event"]


def fail_with_a_patient() -> None:
    local_name = NAME  # noqa: F841
    try:
        raise ValueError(f"bad member {MEMBER}")
    except ValueError as error:
        raise InvalidInputError(f"{NAME} cannot be read") from error


def test_an_exception_leaves_class_and_frames_but_no_message_and_no_locals(lines: Lines):
    try:
        fail_with_a_patient()
    except InvalidInputError as error:
        structlog.get_logger().exception("reading_failed")
        structlog.get_logger().error("reading_failed", exc_info=error)
        structlog.get_logger().error("reading_failed", error=error, exception=str(error), stack_info=True)
    first, second, third = lines()
    assert first["error_class"] == second["error_class"] == "InvalidInputError"
    assert first["error_frames"][0] == "InvalidInputError"
    assert "ValueError" in first["error_frames"]
    assert any(frame.endswith(":fail_with_a_patient") for frame in first["error_frames"])
    assert third["exception"] == WITHHELD
    assert third["dropped_keys"] == ["error", "stack_info"]


def test_an_exception_group_tells_of_its_members(lines: Lines):
    try:
        raise ExceptionGroup(NAME, [KeyError(MEMBER), OSError(NAME)])
    except ExceptionGroup:
        structlog.get_logger().exception("group_failed")
    (line,) = lines()
    assert {"ExceptionGroup", "KeyError", "OSError"} <= set(line["error_frames"])


def test_callers_cannot_write_the_fields_that_the_pipe_writes(lines: Lines):
    structlog.get_logger().info("planted", error_frames=[NAME], dropped_keys=NAME, at=NAME, _record=NAME)
    (line,) = lines()
    assert line["dropped_keys"] == [
        "_record" if "_record" in line["dropped_keys"] else WITHHELD,
        "at",
        "dropped_keys",
        "error_frames",
    ]


def test_libraries_go_through_the_same_pipe(lines: Lines):
    logging.getLogger("aiokafka.conn").error("Failed fetch from %s: %s", NAME, ValueError(MEMBER))
    logging.getLogger("somebody").warning(f"the patient {NAME}")
    try:
        raise RuntimeError(MEMBER)
    except RuntimeError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    logging.getLogger("asyncio").error(f"Exception in callback {NAME}")
    # pytest takes warnings.warn() for itself; this is what the standard library calls otherwise
    logging._showwarning(UserWarning(NAME), UserWarning, "somewhere.py", 1)  # type: ignore[attr-defined]
    kafka, somebody, retrieved, callback, warned = lines()
    assert kafka["template"] == "Failed fetch from %s: %s"
    assert {line["event"] for line in (kafka, somebody, retrieved, callback, warned)} == {"library_message"}
    assert somebody["library_logger"] == "somebody"
    assert "test_logging.py" in somebody["frame"]
    assert retrieved["error_class"] == "RuntimeError"
    assert "template" not in callback


def test_context_of_a_request_joins_its_lines_and_is_checked_too(lines: Lines):
    request_id = str(uuid4())
    with structlog.contextvars.bound_contextvars(request_id=request_id, patient=NAME):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    inside, outside = lines()
    assert inside["request_id"] == request_id
    assert inside["dropped_keys"] == ["patient"]
    assert "request_id" not in outside


def test_the_level_is_kept_for_ours_and_for_libraries(lines: Lines):
    configure_logging("test", "WARNING")
    structlog.get_logger().info("too_quiet")
    logging.getLogger("uvicorn.error").info("too quiet %s", 1)
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines()] == ["loud"]
