"""
Reading against pyx12: 835 bytes to claim events, beside pyx12's validation of the same file in the same run.

    reprieve bench reading        REPRIEVE_BENCH_MEGABYTES (default 4), REPRIEVE_BENCH_RUNS (default 3)

Ours includes balance, identities of every claim, sealing, and the JSON of each denial's event; 15% of the
claims are denied. Every measurement is a fresh process and its user CPU time, without imports; the two
alternate, so that a noisy neighbour disturbs both. pyx12 validates more (element types, code sets, the whole
map) and neither balances nor identifies: the ratio says what a stream costs, not which is better.
"""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from uuid import UUID

MEGABYTES = float(os.environ.get("REPRIEVE_BENCH_MEGABYTES", "4"))
RUNS = int(os.environ.get("REPRIEVE_BENCH_RUNS", "3"))
WANTED = 45


def main() -> None:
    """Measure and print, or be one measurement."""
    if len(sys.argv) == 3 and sys.argv[1] in MEASURED:
        print(MEASURED[sys.argv[1]](Path(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory(prefix="reprieve-bench-") as folder:
        path = Path(folder) / "bench.835"
        write_file(path, MEGABYTES)
        compare(path)


def write_file(path: Path, megabytes: float) -> None:
    """Write the simulated file, about as large as asked."""
    from services.ingest.simulate import Simulation, simulate  # noqa: PLC0415

    wanted = Simulation(claims=None, size_bytes=int(megabytes * 1e6), claims_per_set=500)
    with path.open("wb") as file:
        file.writelines(simulate(wanted))


def compare(path: Path) -> None:
    """Alternate the two and print medians per megabyte and their ratio."""
    megabytes = path.stat().st_size / 1e6
    print(f"Reading {megabytes:.2f} MB, 15% of claims denied, {RUNS} runs each, user CPU per MB:")
    seconds: dict[str, list[float]] = {name: [] for name in MEASURED}
    for run in range(RUNS):
        for name in MEASURED if run % 2 == 0 else reversed(MEASURED):
            command = [sys.executable, str(Path(__file__).resolve()), name, str(path)]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
            answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)  # noqa: S603
            seconds[name].append(float(answer.stdout) / megabytes)
    for name, found in seconds.items():
        low, high = min(found), max(found)
        print(f"  {name:<8} {median(found) * 1e3:8.1f} ms   ({low * 1e3:.1f} to {high * 1e3:.1f})")
    ratio = median(seconds["pyx12"]) / median(seconds["reprieve"])
    print(f"  ratio    {ratio:8.1f}      (wanted: at least {WANTED})")


def read_with_reprieve(path: Path) -> float:
    """Give the user CPU seconds from bytes to events."""
    from services.ingest.domain.events import EventContext, claim_event  # noqa: PLC0415
    from services.ingest.domain.identity import claim_key, event_id, sibling_key  # noqa: PLC0415
    from services.ingest.domain.reader import read  # noqa: PLC0415
    from services.ingest.domain.remittance import ClaimRead, SetOpened  # noqa: PLC0415
    from shared.contracts.base import encode  # noqa: PLC0415
    from shared.security.sealing import Sealer  # noqa: PLC0415

    organization = UUID(int=1)
    sealer = Sealer(
        organization_id=organization,
        month=date(2026, 11, 1),
        data_key=os.urandom(32),
        index_key=os.urandom(32),
    )
    context = EventContext(
        organization_id=organization,
        remittance_id=UUID(int=2),
        received_at=datetime(2026, 11, 21, tzinfo=UTC),
        received_on=date(2026, 11, 21),
    )
    begun = os.times().user
    with path.open("rb") as file:
        for item in read(iter(lambda: file.read(1 << 18), b"")):
            if isinstance(item, SetOpened):
                header = item.header
            elif isinstance(item, ClaimRead):
                claim = item.claim
                sibling_key(organization, header, claim)
                if claim.kind == "denied":
                    encode(claim_event(claim, header, context, sealer))
                else:
                    claim_key(organization, claim, event_id(organization, header, claim))
    return os.times().user - begun


def validate_with_pyx12(path: Path) -> float:
    """Give the user CPU seconds of the whole validation, its loading of maps included."""
    import pyx12.params  # noqa: PLC0415
    import pyx12.x12n_document  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    begun = os.times().user
    valid = pyx12.x12n_document.x12n_document(
        param=pyx12.params.params(),
        src_file=str(path),
        fd_997=None,
        fd_html=None,
        fd_xmldoc=None,
        xslt_files=None,
    )
    if not valid:
        raise AssertionError("pyx12 finds the simulated file invalid, so it may have stopped early")
    return os.times().user - begun


MEASURED: dict[str, Callable[[Path], float]] = {
    "reprieve": read_with_reprieve,
    "pyx12": validate_with_pyx12,
}

if __name__ == "__main__":
    main()
