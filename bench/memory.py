"""
Resident memory of reading: nearly the same for a file of one megabyte and of a thousand.

    reprieve bench memory        REPRIEVE_BENCH_SIZES (megabytes, default 1,20,200)

Each size is read by a fresh process from a pipe, block by block, with events built and dropped; what is
printed is the peak of that process, with interpreter and imports. Once with sets of a thousand claims, once
with all claims in one set, where the ordinals of equal claims must be remembered from end to end.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

SIZES = tuple(float(size) for size in os.environ.get("REPRIEVE_BENCH_SIZES", "1,20,200").split(","))
CLAIMS_PER_MEGABYTE = 1862  # in simulated files; what is printed was counted
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure and print, or be one side of the pipe."""
    if len(sys.argv) >= 2 and sys.argv[1] == "read-pipe":
        print(read_pipe())
    elif len(sys.argv) == 4 and sys.argv[1] == "write-pipe":
        write_pipe(float(sys.argv[2]), int(sys.argv[3]))
    else:
        print("Peak resident memory of reading, streamed:")
        for size in SIZES:
            for sets, claims_per_set in (("sets of 1,000", 1000), ("one set", 10**9)):
                read, claims, peak = measure(size, claims_per_set)
                print(f"  {read:8.1f} MB   {claims:>9,} claims   {sets:<13}   {peak:6.1f} MiB", flush=True)


def measure(megabytes: float, claims_per_set: int) -> tuple[float, int, float]:
    """Give the megabytes and claims read, and the peak in MiB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    this = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(  # noqa: S603
        [*this, "write-pipe", str(megabytes), str(claims_per_set)], stdout=subprocess.PIPE, env=environment
    ) as writer:
        answer = subprocess.run(  # noqa: S603
            [*this, "read-pipe"],
            check=True,
            stdin=writer.stdout,
            capture_output=True,
            text=True,
            env=environment,
        )
    size_bytes, claims, peak_kibibytes = map(int, answer.stdout.split())
    return size_bytes / 1e6, claims, peak_kibibytes / 1024


def write_pipe(megabytes: float, claims_per_set: int) -> None:
    from services.ingest.simulate import Simulation, simulate  # noqa: PLC0415

    wanted = Simulation(claims=round(megabytes * CLAIMS_PER_MEGABYTE), claims_per_set=claims_per_set)
    sys.stdout.buffer.writelines(simulate(wanted))


def read_pipe() -> str:
    from services.ingest.domain.events import EventContext, claim_event  # noqa: PLC0415
    from services.ingest.domain.reader import read  # noqa: PLC0415
    from services.ingest.domain.remittance import ClaimRead, SetOpened  # noqa: PLC0415

    context = EventContext(
        organization_id=UUID(int=1),
        remittance_id=UUID(int=2),
        received_at=datetime(2026, 11, 21, tzinfo=UTC),
        received_on=date(2026, 11, 21),
    )
    size_bytes = claims = 0

    def blocks() -> Iterator[bytes]:
        nonlocal size_bytes
        while block := sys.stdin.buffer.read(1 << 18):
            size_bytes += len(block)
            yield block

    for item in read(blocks()):
        if isinstance(item, SetOpened):
            header = item.header
        elif isinstance(item, ClaimRead):
            claims += 1
            if item.claim.kind == "denied":
                claim_event(item.claim, header, context, None)
    return f"{size_bytes} {claims} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}"


if __name__ == "__main__":
    main()
