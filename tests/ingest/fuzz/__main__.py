"""
`python -m tests.ingest.fuzz`: hostile files by the thousand; `make fuzz` runs it at length, `make test` briefly.

Case n of seed s is always the same file: `--seed s --only n` does it again. A case may use so much processor
time and memory and no more. What fails is made small and kept in .cache/fuzz/.
"""

import argparse
import secrets
import sys
import time

from tests.ingest.fuzz import mutations
from tests.ingest.fuzz.runs import MEGABYTE, Worker, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ingest.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", default="", help="a fresh one by default; it is printed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="do this one case again")
    chosen = parser.parse_args()
    seed = chosen.seed or secrets.token_hex(4)
    if chosen.only is not None:
        worker = Worker()
        number = f"{seed}:{chosen.only}"
        print(f"{worker.attempt(number, mutations.hostile(number, worker._files))} claims, nothing failed")
        return 0
    begun = time.monotonic()
    total = run(seed, cases=chosen.cases, seconds=chosen.seconds, workers=chosen.workers)
    took = time.monotonic() - begun
    for number, told in total.failures.items():
        print(f"\n{number}\n{told}")
    print(
        f"\nseed {seed}: {total.cases:,} cases of {total.bytes / MEGABYTE:,.0f} MB with {total.claims:,} claims"
        f" in {took:,.0f} s, {total.cases / took:,.0f}/s, resident {total.settled_bytes // MEGABYTE} to"
        f" {total.ended_bytes // MEGABYTE} MB, {len(total.failures)} failed"
    )
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
