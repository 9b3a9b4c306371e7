"""
The processes of one machine: started, watched, started again when they die, and ended in order.

Each runs in a session of its own, so that a Ctrl-C in the terminal reaches the supervisor alone and it
decides who stops when; and each hangs on the tether, so that none outlives a supervisor that was killed.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil

_LONGEST_WAIT_SECONDS = 30.0
_STEADY_SECONDS = 60.0  # who ran this long starts again without a wait
_DRAIN_SECONDS = 10.0


@dataclass(slots=True)
class Child:
    """A program that should be running. `arguments` follow `python -m`; `environment` adds to ours."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    url: str | None = None
    pid: int | None = None
    deaths: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def program(arguments: Iterable[str], *, tether: int) -> list[str]:
    """Give the command line of a module that runs on the tether."""
    # -P: whatever folder we are in, its modules are not ours.
    return [sys.executable, "-P", "-m", "services.embedded.tether", str(tether), *arguments]


async def keep_running(
    child: Child, *, tether: int, say: Callable[[str], None], started_anew: Callable[[], None]
) -> None:
    """
    Run the child until its stop event; each death is told and followed by a new start, ever later.

    `started_anew` is called after every start, when the child has its process id.
    """
    wait_seconds = 1.0
    stopping = asyncio.create_task(child.stop.wait())
    while not child.stop.is_set():
        started = monotonic()
        process = await _start(child, tether)
        started_anew()
        exited = asyncio.create_task(process.wait())
        await asyncio.wait({exited, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if child.stop.is_set():
            await _end(process, exited)
            break
        child.deaths += 1
        child.pid = None  # another program may get that number
        wait_seconds = 1.0 if monotonic() - started > _STEADY_SECONDS else wait_seconds
        say(f"{child.name} ended ({exited.result()}); again in {wait_seconds:.0f} s. See {child.log}.")
        await asyncio.wait({stopping}, timeout=wait_seconds)
        wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
    child.pid = None
    stopping.cancel()


async def _start(child: Child, tether: int) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")}
    with child.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *program(child.arguments, tether=tether),
            env={**inherited, **child.environment, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(tether,),
            start_new_session=True,
        )
    child.pid = process.pid
    return process


async def _end(process: asyncio.subprocess.Process, exited: asyncio.Task[int]) -> None:
    """Let it drain; who does not end in time is killed, which loses nothing that was acknowledged."""
    with suppress(ProcessLookupError):
        process.terminate()
    done, _ = await asyncio.wait({exited}, timeout=_DRAIN_SECONDS)
    if not done:
        with suppress(ProcessLookupError):
            process.kill()
        await exited


def rotate(log: Path) -> None:
    """Keep the log of the last run beside the new one."""
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


def wait_for_leftovers(pids: Iterable[int], *, timeout_seconds: float = 20) -> None:
    """Give the children of a supervisor that was killed the time to end; kill those that do not."""
    ours = [process for pid in pids if (process := _child_of_ours(pid))]
    _, alive = psutil.wait_procs(ours, timeout=timeout_seconds)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _child_of_ours(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if any("services.embedded." in word for word in process.cmdline()) else None
    except psutil.Error:
        return None
