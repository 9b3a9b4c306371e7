"""`reprieve up` as a program: started in a folder of its own, watched line by line, ended or killed."""

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.ports import PORTS_FROM

REPRIEVE = str(Path(sys.executable).with_name("reprieve"))
READY_SECONDS = 150

# Two stacks that live at once, in two processes of pytest, never want one port: while a killed process of the
# one is started again, its port looks free to the other.
_bases = itertools.count(PORTS_FROM, 20)


def wait_until(true: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Ask again and again; the answer when it is true, a failure that says `what` when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := true():
            return answer
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.1)


@contextmanager
def machine_folder() -> Iterator[Path]:
    """
    A folder of its own under /tmp, named as the default one, so that commands find the stack from its parent.

    Not pytest's: another session closes those to the user as whom PostgreSQL runs when we are root.
    """
    with tempfile.TemporaryDirectory(prefix="reprieve-stack-", ignore_cleanup_errors=True) as parent:
        yield Path(parent) / ".reprieve"


class Up:
    """One running `reprieve up`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.lines: list[str] = []
        self._unread: queue.Queue[str | None] = queue.Queue()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")}
        self.process = subprocess.Popen(
            [REPRIEVE, "up", "--data-dir", str(folder), "--ports-from", str(next(_bases)), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._unread.put(line)
        self._unread.put(None)

    def wait_for_line(self, text: str, *, seconds: float = READY_SECONDS) -> str:
        """Give the next line that contains `text`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._unread.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, (
                f"no line with {text!r}; there were:\n" + "\n".join(self.lines) + self.logs()
            )
            if text in line:
                return line

    def wait_until_ready(self) -> "Up":
        self.wait_for_line("ready")
        return self

    def logs(self) -> str:
        """The ends of the logs, for a failure's text."""
        texts = [
            f"--- {path.name}\n{path.read_text()[-1500:]}" for path in sorted(self.folder.glob("logs/*.log"))
        ]
        return "\n" + "\n".join(texts)

    @property
    def up_file(self) -> dict[str, Any]:
        return json.loads((self.folder / "up.json").read_text())

    def pid(self, process: str) -> int:
        return int(self.up_file["processes"][process]["pid"])

    def postgres_pid(self) -> int:
        return int((self.folder / "pg" / "postmaster.pid").read_text().split("\n", 1)[0])

    def everything(self) -> list[psutil.Process]:
        """Every process of this stack that lives, the supervisor left out."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ", "status"]):
            words = process.info["cmdline"] or []
            ours = any(word.startswith(("services.embedded.", "services.cli")) for word in words)
            if process.pid == self.process.pid or process.info["status"] == psutil.STATUS_ZOMBIE:
                continue
            if (ours and self._is_mine(process)) or (
                words and "postgres" in words[0] and str(self.folder / "pg") in words
            ):
                found.append(process)
        return found

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            files = {file.path for file in process.open_files()}
            words = process.cmdline()
        except psutil.Error:  # it ended meanwhile
            return False
        return any(path.startswith(str(self.folder)) for path in files) or str(self.folder / "pg") in words

    def run(
        self, *arguments: str, check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run another `reprieve` command beside the folder whose name is the default one."""
        done = subprocess.run(
            [REPRIEVE, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=self.folder.parent,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}{self.logs()}"
        )
        return done

    def end(self, number: int = signal.SIGTERM, *, seconds: float = 30) -> int:
        """Ask it to stop; gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def kill_everything(self) -> None:
        """`kill -9` of supervisor, processes, broker and database, as a power cut would."""
        victims = self.everything()
        for process in [psutil.Process(self.process.pid), *victims]:
            with suppress(psutil.NoSuchProcess):  # it ended by itself when it saw the supervisor go
                process.kill()
        self.process.wait(60)
        psutil.wait_procs(victims, timeout=60)
