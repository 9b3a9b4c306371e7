"""Every log call of the code speaks the pipe's language; one that does not would lose its words in production."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.observability.logging import ALLOWED_KEYS

ROOT = Path(__file__).parents[2]
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}


def log_calls(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in METHODS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in {"log", "logger", "_log"}
        ):
            yield node


def mistakes(source: str) -> list[str]:
    found = []
    for call in log_calls(source):
        found += [
            f"line {call.lineno}: key {word.arg}"
            for word in call.keywords
            if word.arg and word.arg not in ALLOWED_KEYS | {"exc_info"}
        ]
        event = call.args[0] if call.args else None
        if isinstance(event, ast.JoinedStr) or len(call.args) > 1:
            found.append(f"line {call.lineno}: values inside the event")
        if isinstance(event, ast.Constant) and not str(event.value).isidentifier():
            found.append(f"line {call.lineno}: the event is not snake_case")
    return found


def test_log_calls_use_static_events_and_listed_keys():
    modules = [path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): mistakes(path.read_text()) for path in modules}
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "call", ["log.info(f'x {y}')", "log.info('a b')", "log.error('x %s', y)", "log.warning('x', patient=y)"]
)
def test_this_check_sees_what_it_looks_for(call: str):
    assert mistakes(call) != []
