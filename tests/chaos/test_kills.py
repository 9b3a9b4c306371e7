"""
`kill -9` in the middle of a file of 20,000 claims: of each worker, of the broker, of everything at once.

What is expected is counted from the file by the reader alone, before anything is pushed.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx2
import psutil
import pytest

from services.ingest.domain.identity import claim_key, event_id
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimRead, SetHeader, SetOpened
from services.ingest.simulate import Simulation, simulate
from services.serve import PROCESSES
from shared.postgres import create_engine, rows, transaction
from tests.support.apache_kafka import ApacheKafka, MissingKafkaError
from tests.support.stack import Up, machine_folder, wait_until

pytestmark = pytest.mark.slow

CLAIMS = 20_000
SETTLED_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Expected:
    """What the ledger must hold of a file's denials, and not once more."""

    events: set[UUID]
    keys: set[UUID]
    denied: Decimal

    @classmethod
    def of(cls, file: Path, organization: UUID) -> "Expected":
        events: set[UUID] = set()
        keys: set[UUID] = set()
        denied = Decimal(0)
        header: SetHeader | None = None
        for item in read([file.read_bytes()]):
            if isinstance(item, SetOpened):
                header = item.header
            if isinstance(item, ClaimRead) and item.claim.kind == "denied":
                assert header
                event = event_id(organization, header, item.claim)
                events.add(event)
                keys.add(claim_key(organization, item.claim, event))
                denied += item.claim.denied_amount
        return cls(events, keys, denied)


class Ledger:
    """Looks into the database as its owner."""

    def __init__(self, up: Up) -> None:
        self.url = up.up_file["admin_database_url"]
        self.organization = UUID(up.up_file["organization_id"])

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        async def run() -> list[tuple[object, ...]]:
            engine = create_engine(self.url, name="chaos", pool_size=1)
            try:
                async with transaction(engine, organizations=[self.organization]) as connection:
                    return [tuple(row) for row in await rows(connection, sql)]
            finally:
                await engine.dispose()

        return asyncio.run(run())

    def count(self, table: str) -> int:
        return int(self.ask(f"select count(*) from {table}")[0][0])  # type: ignore[call-overload]

    def events(self) -> list[UUID]:
        return [
            UUID(str(row[0]))
            for row in self.ask(
                "select event_id from tracker.ledger where type = 'DenialTriaged' and decision_revision = 1"
            )
        ]


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=5).is_success
    except httpx2.TransportError:
        return False


class Machine:
    """A stack that may be replaced by its next start."""

    def __init__(self, folder: Path, kafka: ApacheKafka | None) -> None:
        self.kafka = kafka
        self.up = Up(folder, *(["--kafka", kafka.bootstrap] if kafka else [])).wait_until_ready()
        self.ledger = Ledger(self.up)

    def kill(self, process: str) -> None:
        if process == "broker" and self.kafka:
            self.kafka.kill()
            self.kafka.start()
        else:
            psutil.Process(self.up.pid(process)).kill()

    def wait_until_ready(self) -> None:
        for name in PROCESSES:
            url = self.up.up_file["processes"][name]["url"]
            wait_until(partial(_is_ready, url), seconds=120, what=f"{name} answers again")

    def cut_the_power(self) -> None:
        self.up.kill_everything()
        assert self.up.everything() == []
        self.up = Up(self.up.folder, *self.up.options).wait_until_ready()


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with machine_folder() as folder, ExitStack() as opened:
        kafka = opened.enter_context(running_kafka(folder.parent)) if request.param == "apache" else None
        machine = Machine(folder, kafka)
        try:
            yield machine
        finally:
            machine.up.end()


@contextmanager
def running_kafka(folder: Path) -> Iterator[ApacheKafka]:
    try:
        kafka = ApacheKafka(folder / "kafka")
    except MissingKafkaError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


# What is killed one after another in one file, each with the table whose growth tells that it is at work.
KILLS = {
    "each_process": [
        ("ingest-worker", "ingest.claims"),
        ("ingest-api", "ingest.claims"),
        ("triage-worker", "tracker.ledger"),
        ("tracker-worker", "tracker.ledger"),
    ],
    "broker": [("broker", "tracker.ledger")],
    "everything": [("everything", "ingest.claims"), ("everything", "tracker.ledger")],
}
ROWS_BETWEEN = 250

# Apache Kafka sees every blow; the embedded broker those that its own memory decides.
APACHE = pytest.param("apache", marks=pytest.mark.apache)
BLOWS = [("embedded", "broker"), ("embedded", "everything")] + [
    pytest.param("apache", kill, marks=pytest.mark.apache) for kill in KILLS
]


@pytest.mark.parametrize(("machine", "kill"), BLOWS, indirect=["machine"], scope="module")
def test_a_kill_in_the_middle_loses_nothing_and_doubles_nothing(
    machine: Machine, tmp_path: Path, kill: str
) -> None:
    file = tmp_path / "twenty-thousand.835"
    seed = 100 + list(KILLS).index(kill)
    file.write_bytes(b"".join(simulate(Simulation(seed=seed, claims=CLAIMS, reversed=0.0))))
    expected = Expected.of(file, machine.ledger.organization)
    assert len(expected.events) > CLAIMS / 10
    rows_before = {table: machine.ledger.count(table) for table in ("ingest.claims", "tracker.ledger")}
    cases_before = machine.ledger.count("tracker.cases")

    machine.up.run("push", str(file))
    blows: Counter[str] = Counter()
    for victim, table in KILLS[kill]:
        blows[table] += 1
        enough = rows_before[table] + ROWS_BETWEEN * blows[table]
        wait_until(lambda: machine.ledger.count(table) > enough, seconds=240, what=f"{table} grows")  # noqa: B023
        recorded = machine.ledger.count("tracker.ledger") - rows_before["tracker.ledger"]
        if victim == "everything":
            machine.cut_the_power()
        else:
            machine.kill(victim)
        assert recorded < len(expected.events), "it was over before the blow: nothing was tested"

    machine.wait_until_ready()
    reconciled = machine.up.run("reconcile", "--wait", str(SETTLED_SECONDS), seconds=2 * SETTLED_SECONDS)
    assert reconciled.returncode == 0
    events = machine.ledger.events()
    assert len(events) == len(set(events))
    assert machine.ledger.count("tracker.cases") - cases_before == len(expected.keys)
    assert expected.events <= set(events)


@pytest.mark.parametrize("machine", [APACHE], indirect=True, scope="module")
def test_pushing_it_all_again_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    file, copy = tmp_path / "first.835", tmp_path / "again.835"
    file.write_bytes(b"".join(simulate(Simulation(seed=102, claims=CLAIMS, reversed=0.0))))
    copy.write_bytes(file.read_bytes() + b"\n")  # other bytes, the same remittances
    machine.up.run("push", str(file), "--wait")
    assert (
        machine.up.run("reconcile", "--wait", str(SETTLED_SECONDS), seconds=2 * SETTLED_SECONDS).returncode
        == 0
    )
    ledger, cases = machine.ledger.count("tracker.ledger"), machine.ledger.count("tracker.cases")

    machine.up.run("push", str(copy), "--wait")

    assert (
        machine.up.run("reconcile", "--wait", str(SETTLED_SECONDS), seconds=2 * SETTLED_SECONDS).returncode
        == 0
    )
    assert (machine.ledger.count("tracker.ledger"), machine.ledger.count("tracker.cases")) == (ledger, cases)
