"""
Logs are events: one JSON object a line on stderr, a static snake_case name plus keywords from an allow-list.

Three doors are shut, so that no patient gets out by accident:
- a keyword that is not on the list is dropped, and its name is listed under `dropped_keys`;
- a value that does not look like its kind (an id, a number, a code without spaces, an instant) is withheld;
- an exception leaves its class and frames, never its message and never its locals.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any
from uuid import UUID

import msgspec
import structlog

WITHHELD = "<withheld>"

_IDS = """
    case_id claim_key correlation_id decision_id event_id fact_id message_id organization_id
    payee_organization_id principal_id receipt_id remittance_id request_id submitter_id submission_id trace_id
"""
_COUNTS = """
    acks attempt attempts attempts_max batch batch_size bytes bytes_read charge_read_amount claims claims_read
    collapsed count decided decision_revision decisions delay_seconds denied denied_amount denied_claims dlq
    due duplicates duration_ms duration_seconds evented events exit_status facts failed files findings held
    first_offset in_flight interval_seconds lag last_offset missing no_event offset offsets outstanding pages
    parked partition partitions pid policies port position processed published quarantined queue_depth rate
    received receipts records rejected released remittances repaired replayed request_bytes response_bytes
    retries revision rows segment_number segments sent settled shard shards signal_number size skipped staged
    status timeout_seconds total transaction_sets transactions truncated unchanged unsettled waiting
    window_bytes workers year
"""
_CODES = """
    broker category channel class client cluster_id code component consumer current_state error_class
    event_type
    exception feed format frame group host kind level library_logger loop method migration mode name operation
    outcome payer_id phase policy_id policy_version previous_state process producer reason role route schema
    service signal source stage state step table template timezone topic transport type unit url_host version
"""
_INSTANTS = "as_of created_at date deadline_at due_at expires_at month on since until"

_KINDS: dict[str, str] = {
    key: kind
    for kind, keys in {"id": _IDS, "count": _COUNTS, "code": _CODES, "instant": _INSTANTS}.items()
    for key in keys.split()
}
ALLOWED_KEYS = frozenset(_KINDS)
"""Every keyword that a log line may carry, beside what this module writes itself."""

_EVENT = re.compile(r"[a-z][a-z0-9_]{2,80}")
_CODE = re.compile(r"[\w.:/+<>={}#@%-]{0,160}")
_KEY_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_ID_TEXT = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}(:\d{1,9})?")
_INSTANT_TEXT = re.compile(r"\d{4}-\d{2}(-\d{2}([T ][\d:.+Z-]+)?)?")

# Their texts are templates of their own authors, written without our values in them.
_TRUSTED_LIBRARIES = ("uvicorn", "aiokafka", "alembic", "sqlalchemy.pool")


def configure_logging(process: str, level: str = "INFO") -> None:
    """Send everything, our events and the libraries' records, through one pipe to stderr."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _keep_allowed,
            _keep_exception,
            structlog.processors.add_log_level,
            _stamp(process),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.captureWarnings(capture=True)
    logging.root.handlers[:] = [_LibraryHandler()]
    logging.root.setLevel(max(number, logging.INFO))
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs whole URLs
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # a dozen lines for each session


def frames_of(error: BaseException) -> list[str]:
    """Give class and frames (file:line:function) of an error and its causes; no message, no local."""
    found = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        found.append(type(current).__qualname__)
        found.extend(_frames(current.__traceback__))
        if isinstance(current, BaseExceptionGroup):
            for one in current.exceptions:
                found.extend(frames_of(one))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found


def _frames(traceback: TracebackType | None) -> list[str]:
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        found.append(f"{_short(code.co_filename)}:{traceback.tb_lineno}:{code.co_name}")
        traceback = traceback.tb_next
    return found


def _short(filename: str) -> str:
    """Keep the last three parts of a path: enough to find the file, nothing about the machine."""
    return "/".join(filename.rsplit("/", 3)[-3:])


def _keep_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Turn exc_info, in each form that structlog and logging know, into class and frames."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["error_class"] = type(error).__qualname__
        event["error_frames"] = frames_of(error)
    return event


def _keep_allowed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop what is not on the list, withhold what does not look like its kind."""
    kept: dict[str, Any] = {}
    dropped = []
    for key, value in event.items():
        if key in _PASSED_ON:
            kept[key] = value
        elif key in _KINDS:
            kept[key] = _checked(value, _KINDS[key])
        else:
            dropped.append(key if _KEY_NAME.fullmatch(key) else WITHHELD)
    if not _EVENT.fullmatch(str(kept.get("event", ""))):
        kept["event"] = "misnamed_event"  # it may have values inside, which must not get out
    if dropped:
        kept["dropped_keys"] = sorted(dropped)
    return kept


_PASSED_ON = frozenset({"event", "exc_info"})  # each is checked on its own


class _Template(str):
    """A library's text that may be shown as it is."""

    __slots__ = ()


def _checked(value: Any, kind: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, Decimal, date)):
        return value
    if isinstance(value, (UUID, _Template)):
        return str(value)  # the encoder knows no subclasses, and asyncpg has one of UUID
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_checked(one, kind) for one in value][:50]
    form = {"id": _ID_TEXT, "instant": _INSTANT_TEXT, "code": _CODE}.get(kind)
    return str(value) if form is not None and isinstance(value, str) and form.fullmatch(value) else WITHHELD


def _stamp(process: str) -> structlog.typing.Processor:
    def stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"at": datetime.now(UTC), "process": process, **event}

    return stamp


_encode = msgspec.json.Encoder(decimal_format="string", enc_hook=lambda _value: WITHHELD).encode


def _render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return _encode(event).decode()


class _LibraryHandler(logging.Handler):
    """
    Passes the records of libraries on as `library_message`.

    A record's text is a template while its values are apart from it (`args`); a text without values may be
    an f-string with anything inside: it passes only from libraries that we have read.
    """

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {
            "library_logger": record.name,
            "frame": f"{_short(record.pathname)}:{record.lineno}:{record.funcName}",
        }
        if record.args or record.name.startswith(_TRUSTED_LIBRARIES):
            fields["template"] = _Template(str(record.msg)[:200])
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, "library_message", **fields)
