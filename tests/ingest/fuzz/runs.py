"""Cases by the thousand, in processes of their own, each case within bounds; see __main__."""

import multiprocessing
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random

import psutil

from services.triage.policies import shipped_policies
from tests.ingest.fuzz import mutations
from tests.ingest.fuzz.judge import judge

KEPT = Path(__file__).parents[3] / ".cache" / "fuzz"
BATCH = 250
MEGABYTE = 1 << 20
_GROWTH_BYTES_MAX = 64 * MEGABYTE  # of a worker, from its thousandth case to its last
_ROOM_BYTES = 512 * MEGABYTE  # for one case, beyond what the worker holds anyhow
_SECONDS, _SECONDS_PERMEGABYTE = 3, 40  # of processor time: a hang is sought, not a slow machine
_SILENCE_SECONDS = 300  # the worker is stuck where no signal reaches it


class TooSlow(Exception):  # noqa: N818 - a verdict on a case
    """The case took more processor time than a file of its size may."""


@dataclass
class Tally:
    cases: int = 0
    claims: int = 0
    bytes: int = 0
    failures: dict[str, str] = field(default_factory=dict)  # number to traceback
    settled_bytes: int = 0  # resident, after the thousandth case
    ended_bytes: int = 0

    def add(self, other: "Tally") -> None:
        self.cases += other.cases
        self.claims += other.claims
        self.bytes += other.bytes
        self.failures |= other.failures


class Worker:
    """One process's share: it tries cases and says what failed."""

    def __init__(self) -> None:
        self._files = mutations.sources()
        self._policies = shipped_policies()
        self._process = psutil.Process()
        signal.signal(signal.SIGPROF, _too_slow)

    def resident(self) -> int:
        return self._process.memory_info().rss

    def attempt(self, number: str, content: bytes) -> int:
        """Judge one file within its bounds."""
        signal.setitimer(signal.ITIMER_PROF, _SECONDS + _SECONDS_PERMEGABYTE * len(content) / MEGABYTE)
        try:
            return judge(content, Random(f"{number}:judge"), self._policies)  # noqa: S311
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def case(self, number: str, tally: Tally) -> None:
        content = mutations.hostile(number, self._files)
        tally.cases += 1
        tally.bytes += len(content)
        try:
            tally.claims += self.attempt(number, content)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            told = "".join(traceback.format_exception(error)[-3:])
            kept = mutations.saved(KEPT, number, self._smallest(number, content, type(error)))
            tally.failures[number] = f"{told}kept in {kept}"

    def _smallest(self, number: str, content: bytes, kind: type[Exception]) -> bytes:
        def fails(text: bytes) -> bool:
            try:
                self.attempt(number, text)
            except Exception as error:  # noqa: BLE001
                return type(error) is kind
            return False

        return content if kind in (TooSlow, MemoryError) else mutations.minimal(content, fails)


def _too_slow(*_: object) -> None:
    raise TooSlow


def _bound_memory(held: int) -> None:
    if sys.platform == "linux":  # elsewhere the kernel does not enforce it
        resource.setrlimit(resource.RLIMIT_AS, (held + _ROOM_BYTES, resource.RLIM_INFINITY))


def _work(seed: str, batches: Connection) -> None:
    worker = Worker()
    _bound_memory(psutil.Process().memory_info().vms)
    tally, settled, done = Tally(), 0, 0
    while (first := batches.recv()) is not None:
        tally = Tally()
        for number in range(first, first + BATCH):
            worker.case(f"{seed}:{number}", tally)
        done += tally.cases
        if not settled and done >= 1_000:
            settled = worker.resident()
        tally.settled_bytes, tally.ended_bytes = settled, worker.resident()
        batches.send(tally)


def run(seed: str, *, cases: int, seconds: float, workers: int) -> Tally:
    """Hand out batches until there were `cases`, or `seconds` are over; tell every failure."""
    total, begun, given = Tally(), time.monotonic(), 0
    spawn = multiprocessing.get_context("spawn")
    processes = []
    ends: dict[Connection, tuple[int, int]] = {}
    for _ in range(workers):
        ours, theirs = spawn.Pipe()
        processes.append(spawn.Process(target=_work, args=(seed, theirs), daemon=True))
        processes[-1].start()
        theirs.close()  # so that a worker's death is heard
        ends[ours] = (0, 0)
        ours.send(given)
        given += BATCH
    busy = set(ends)
    while busy:
        ready = wait(list(busy), timeout=_SILENCE_SECONDS)
        if not ready:
            total.failures["?"] = f"no answer for {_SILENCE_SECONDS} s, in a batch up to {seed}:{given}"
            break
        for end in ready:
            try:
                tally: Tally = end.recv()
            except EOFError:
                total.failures["?"] = f"a worker died in a batch up to {seed}:{given}"
                busy.discard(end)
                continue
            total.add(tally)
            ends[end] = (tally.settled_bytes, tally.ended_bytes)
            if given < cases and time.monotonic() - begun < seconds:
                end.send(given)
                given += BATCH
            else:
                end.send(None)
                busy.discard(end)
        _tell(total, begun)
    for process in processes:
        process.join(timeout=5)
        process.kill()
    total.settled_bytes, total.ended_bytes = max(
        ends.values(), key=lambda both: both[1] - both[0], default=(0, 0)
    )
    if total.settled_bytes and total.ended_bytes - total.settled_bytes > _GROWTH_BYTES_MAX:
        total.failures["memory"] = f"a worker grew by {total.ended_bytes - total.settled_bytes:,} bytes"
    return total


def _tell(total: Tally, begun: float) -> None:
    rate = total.cases / (time.monotonic() - begun)
    print(
        f"\r{total.cases:,} cases, {rate:,.0f}/s, {len(total.failures)} failed",
        end="",
        file=sys.stderr,
        flush=True,
    )
