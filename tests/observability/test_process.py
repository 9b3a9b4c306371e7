"""A process ends when it is told to, at once when it is told twice, and honestly when it fails."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PRELUDE = """
import asyncio, os, signal, sys
from shared.errors import InvalidInputError
from shared.observability.process import run
import structlog
async def ready():
    print("ready", flush=True)
"""


@contextmanager
def process(body: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", f"{PRELUDE}\n{body}\nrun(main, process='test')"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def ended(started: subprocess.Popen[str]) -> tuple[int, str, list[dict[str, Any]]]:
    out, err = started.communicate(timeout=60)
    return started.returncode, out, [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_after_its_work(number: signal.Signals):
    with process("""
async def main(stop):
    await ready()
    await stop.wait()
    print("drained", type(asyncio.get_running_loop()).__module__, flush=True)
""") as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.send_signal(number)
        status, out, lines = ended(started)
    assert (status, out) == (0, "drained uvloop\n")
    assert [line["event"] for line in lines] == ["process_started", "process_stopping", "process_stopped"]
    assert lines[1]["signal"] == number.name


def test_a_second_signal_ends_it_at_once():
    with process("""
async def main(stop):
    await ready()
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.sleep(3600)
""") as started:
        assert started.stdout is not None
        started.stdout.readline()
        started.send_signal(signal.SIGTERM)
        assert started.stdout.readline() == "stopping\n"
        at = time.monotonic()
        started.send_signal(signal.SIGTERM)
        status, _, lines = ended(started)
    assert status == 128 + signal.SIGTERM
    assert time.monotonic() - at < 10
    assert lines[-1]["event"] == "process_exits_hard"


def test_a_crash_exits_1_after_a_line_without_its_message():
    with process("""
async def main(stop):
    raise RuntimeError("PLANTEDDOE")
""") as started:
        status, _, lines = ended(started)
    assert status == 1
    assert (lines[-1]["event"], lines[-1]["error_class"]) == ("process_crashed", "RuntimeError")
    assert "PLANTED" not in json.dumps(lines)


def test_an_error_nobody_awaited_is_logged_without_its_message():
    with process("""
async def main(stop):
    async def fails():
        name = "PLANTEDDOE"
        raise ValueError(name)
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    del task
    asyncio.get_running_loop().call_soon(lambda planted: 1 / 0, "PLANTEDDOE")
    await asyncio.sleep(0.01)
    import threading
    def in_a_thread(planted):
        raise KeyError(planted)
    thread = threading.Thread(target=in_a_thread, args=["PLANTEDDOE"])
    thread.start()
    thread.join()
    class Dying:
        def __del__(self):
            raise LookupError("PLANTEDDOE")
    Dying()
""") as started:
        status, _, lines = ended(started)
    assert status == 0
    stray = {line["error_class"] for line in lines if line["event"] == "stray_error"}
    assert stray == {"ValueError", "ZeroDivisionError", "KeyError", "LookupError"}
    assert "PLANTED" not in json.dumps(lines)


def test_an_error_with_a_remedy_is_left_for_the_command_line_to_explain():
    with process("""
async def main(stop):
    raise InvalidInputError("Port taken.", remedy="Stop the other.")
import services.cli
def guarded(*args, **kwargs):
    try:
        run(*args, **kwargs)
    except InvalidInputError as error:
        sys.exit(7 if error.remedy else 8)
guarded(main, process="test")
""") as started:
        status, _, lines = ended(started)
    assert status == 7
    assert lines[-1]["event"] == "process_refused"
