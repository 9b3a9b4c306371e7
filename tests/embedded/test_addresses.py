"""Two stacks on one machine never believe that a port, or an answer, is theirs when it is the other's."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.embedded import addresses
from services.embedded.children import Child
from services.embedded.stack import _answers


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((addresses.HOST, 0)) as listener:
        yield listener


@pytest.mark.parametrize("whose", ["its own", "another's", "nobody's"])
async def test_only_the_child_itself_can_say_that_it_is_ready(listener: socket.socket, whose: str):
    port = listener.getsockname()[1]
    child = Child("one", (), {}, Path("log"), url=f"http://{addresses.HOST}:{port}")
    child.pid = {"its own": os.getpid(), "another's": os.getppid(), "nobody's": None}[whose]
    ready = httpx2.MockTransport(lambda _: httpx2.Response(200))

    async with httpx2.AsyncClient(transport=ready) as client:
        assert await _answers(client, child) is (whose == "its own")


def test_another_waits_until_the_ports_are_bound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(addresses.tempfile, "tempdir", None)
    waits = "from services.embedded.addresses import *\nwith ports_to_choose(print): print('chosen')"
    with addresses.ports_to_choose(print):
        other = subprocess.Popen([sys.executable, "-uc", waits], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert "Waiting for another" in other.stdout.readline()
        assert other.poll() is None

    assert other.communicate(timeout=30)[0] == "chosen\n"


def test_whoever_is_killed_while_choosing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(addresses.tempfile, "tempdir", None)
    dies = "import os; from services.embedded.addresses import *\nwith ports_to_choose(print): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", dies], check=False)
    told: list[str] = []

    with addresses.ports_to_choose(told.append):
        assert told == []
