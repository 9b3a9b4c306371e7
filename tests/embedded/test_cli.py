"""What every `reprieve` command has in common."""

import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from services.cli import COMMANDS
from tests.support.stack import REPRIEVE


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([REPRIEVE, *arguments], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def test_help_names_every_command_and_loads_none() -> None:
    told = run("--help")
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", REPRIEVE, "--help"], capture_output=True, text=True, check=True
    ).stderr

    assert told.returncode == 0
    assert all(command.name in told.stdout for command in COMMANDS)
    assert not [
        name
        for name in ("sqlalchemy", "fastapi", "aiokafka", "msgspec", "services.ingest")
        if f" {name}\n" in loaded
    ]


def test_every_command_explains_itself() -> None:
    names = [one.name for one in COMMANDS]
    told = subprocess.run(
        [sys.executable, "-c", EACH_ALONE, *names], capture_output=True, text=True, check=True
    )

    helps = told.stdout.split("\f")[:-1]
    assert len(helps) == len(names)
    assert [name for name, text in zip(names, helps, strict=True) if "Usage" not in text] == []


EACH_ALONE = """
import os, sys
import aiokafka, fastapi, httpx2, msgspec, sqlalchemy.ext.asyncio, uvicorn
from services.cli import main
for name in sys.argv[1:]:
    if os.fork() == 0:
        sys.argv = ["reprieve", name, "--help"]
        main()
    assert os.wait()[1] == 0, name
    print("\f", end="", flush=True)
"""
"""Libraries are loaded once; each command's own modules in a process in which no other command's are."""


def test_an_interruption_while_modules_are_read_ends_it_without_a_traceback(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "up", "--data-dir", str(tmp_path / "data")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (told.returncode, told.stdout, told.stderr) == (-signal.SIGINT, "", "")
    assert not (tmp_path / "data").exists()


INTERRUPTED = """
import os, signal, sys
from services.entry import main
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "services.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
main()
"""


def test_it_tells_its_version() -> None:
    assert run("--version").stdout == f"reprieve {version('reprieve')}\n"


def test_an_unknown_command_is_bad_usage() -> None:
    assert run("explian").returncode == 2


def test_an_unknown_process_is_bad_usage() -> None:
    told = run("serve", "ingest-everything")

    assert told.returncode == 2
    assert "ingest-worker" in told.stderr


def test_what_we_raise_on_purpose_is_told_with_its_remedy_and_without_a_traceback(tmp_path: Path) -> None:
    told = run("db", "upgrade", env={"PATH": ""}, cwd=tmp_path)

    assert told.returncode == 2
    assert "REPRIEVE_ADMIN_DATABASE_URL" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{REPRIEVE} --help | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr
