"""
What a decision costs: denials decided per processor second, alone and with the store, beside a yardstick.

    reprieve bench deciding        REPRIEVE_BENCH_DENIALS (default 10000), REPRIEVE_BENCH_RUNS (default 3)

`decide` is the decision alone, with the shipped policies. `thousand` is the same with a thousand policies
loaded: finding a payer's is a look-up. `spread` has the denials of a thousand payers, so that little of what
is remembered helps. `store` is all that triage's worker does with a batch: reading the records, both tables,
the decisions' JSON. The yardstick is msgspec reading and writing the same events once, in the same run: the
ratios hold on other machines. Every denial is seen once, as in life; the first fifth warms up. Each row has a
process of its own, in which a run finds what the runs before it left to remember, and no other row's; the
median of the runs counts, and PostgreSQL does not.
"""

import asyncio
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from multiprocessing import get_context
from statistics import median
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from services.ingest.domain.events import EventContext, claim_event
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimRead, SetOpened
from services.ingest.simulate import Simulation, simulate
from services.triage.domain.decide import decide
from services.triage.domain.policies import Policies, load_policies
from services.triage.policies import policy_texts, shipped_policies
from services.triage.store.policy_sets import PolicySets
from services.triage.workers.batch import Batch
from services.triage.workers.deciding import Rules, decide_batch
from shared.calendars import Calendar
from shared.contracts.base import encode
from shared.contracts.claim import Party
from shared.contracts.claim_denied import ClaimDenied
from shared.kafka.envelope import write_headers
from shared.kafka.received import receive
from shared.observability.process import collect_seldom
from shared.postgres import create_engine, transaction
from tests.support.database import PostgresForTests

DENIALS = int(os.environ.get("REPRIEVE_BENCH_DENIALS", "10000"))
RUNS = int(os.environ.get("REPRIEVE_BENCH_RUNS", "3"))
BATCH = 500
RECEIVED_AT = datetime(2026, 11, 21, tzinfo=UTC)


def main() -> None:
    """Measure each row in a process of its own, and print."""
    seconds = {}
    for name, runs in ROWS.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            seconds[name] = median(apart.submit(_all, runs).result())
    show(seconds)


def _all(runs: Callable[[], Iterator[float]]) -> list[float]:
    collect_seldom()
    return list(runs())


def yardsticks() -> Iterator[float]:
    for run in range(RUNS):
        yield reading_and_writing([encode(event) for event in denials(seed=run)])


def with_shipped_policies() -> Iterator[float]:
    policies = PolicySets(shipped_policies()).reference
    for run in range(RUNS):
        yield deciding(list(denials(seed=run)), policies)


def with_a_thousand_policies() -> Iterator[float]:
    policies = load_policies(crowd(1000))
    for run in range(RUNS):
        yield deciding(list(denials(seed=run)), policies)


def of_a_thousand_payers() -> Iterator[float]:
    policies = load_policies(crowd(1000))
    names = [name for policy in policies.policies for name in policy.file.match.names]
    for run in range(RUNS):
        yield deciding(spread(denials(seed=run), names), policies)


def with_the_store() -> Iterator[float]:
    rules = Rules(policies=PolicySets(shipped_policies()), calendar=Calendar())
    server = PostgresForTests()
    try:
        for run in range(RUNS):
            yield asyncio.run(storing(server, list(denials(seed=run)), rules))
    finally:
        server.stop()


ROWS: dict[str, Callable[[], Iterator[float]]] = {
    "yardstick": yardsticks,
    "decide": with_shipped_policies,
    "thousand": with_a_thousand_policies,
    "spread": of_a_thousand_payers,
    "store": with_the_store,
}


def denials(*, seed: int) -> Iterator[ClaimDenied]:
    """Read the denials of a simulated file: seven payers, twenty-two kinds of denial."""
    context = EventContext(
        organization_id=UUID(int=1),
        remittance_id=UUID(int=2),
        received_at=RECEIVED_AT,
        received_on=date(2026, 11, 21),
    )
    for item in read(simulate(Simulation(seed=seed, claims=DENIALS, denied=1.0, reversed=0.0))):
        if isinstance(item, SetOpened):
            header = item.header
        elif isinstance(item, ClaimRead) and item.claim.kind == "denied":
            event = claim_event(item.claim, header, context, None)
            assert isinstance(event, ClaimDenied)  # noqa: S101  its kind says so
            yield event


def crowd(count: int) -> dict[str, bytes]:
    """Make policy files: the shipped ones, and copies of them for payers of other names."""
    texts = policy_texts()
    models = [
        text.decode()
        for text in texts.values()
        if b"default = true" not in text and b"delegate =" not in text
    ]
    for number in range(count - len(texts)):
        text = re.sub(r'^id = "', f'id = "copy-{number}-', models[number % len(models)], flags=re.MULTILINE)
        text = re.sub(r'^names = \["', f'names = ["Copy {number} of ', text, flags=re.MULTILINE)
        texts[f"{number}.toml"] = re.sub(r"^(aliases|ids) = .*$", "", text, flags=re.MULTILINE).encode()
    return texts


def spread(events: Iterable[ClaimDenied], names: Sequence[str]) -> list[ClaimDenied]:
    """Give each denial to any of the payers."""
    chance = random.Random(0)  # noqa: S311  the same in every run
    return [replace(event, payer=Party(name=chance.choice(names))) for event in events]


def reading_and_writing(payloads: Sequence[bytes]) -> float:
    """Give the processor seconds of decoding and encoding one event."""
    decoder = msgspec.json.Decoder(ClaimDenied)
    began = time.process_time()
    for payload in payloads:
        encode(decoder.decode(payload))
    return (time.process_time() - began) / len(payloads)


def deciding(events: Sequence[ClaimDenied], policies: Policies) -> float:
    """Give the processor seconds of one decision."""
    calendar = Calendar()
    warm = len(events) // 5
    for event in events[:warm]:
        decide(event, (), policies, calendar, event.received_on)
    collect_seldom()  # what making the events left behind is not the decisions'
    began = time.process_time()
    for event in events[warm:]:
        decide(event, (), policies, calendar, event.received_on)
    return (time.process_time() - began) / (len(events) - warm)


async def storing(server: PostgresForTests, events: Sequence[ClaimDenied], rules: Rules) -> float:
    """Give the processor seconds of one denial from record to committed decision."""
    database = await server.fresh()
    engine = create_engine(database.url("reprieve_triage"), name="bench")
    records = [record(event) for event in events]
    warm = len(events) // 5
    try:
        await store(records[:warm], engine, rules)
        began = time.process_time()
        await store(records[warm:], engine, rules)
        return (time.process_time() - began) / (len(events) - warm)
    finally:
        await engine.dispose()


async def store(records: Sequence[Any], engine: Any, rules: Rules) -> None:
    """Do what the worker does, a transaction a batch."""
    for start in range(0, len(records), BATCH):
        batch = Batch.of([receive(one) for one in records[start : start + BATCH]])
        async with transaction(engine, organizations=batch.organizations()) as connection:
            await decide_batch(connection, batch, rules)


def record(event: ClaimDenied) -> Any:
    """Wrap an event as the consumer gets it."""
    headers = write_headers(
        service="ingest",
        message_id=event.message_id,
        revision=event.message_revision,
        type_=ClaimDenied.__name__,
        organization_id=event.organization_id,
        created_at=RECEIVED_AT,
    )
    return SimpleNamespace(value=encode(event), headers=headers, key=str(event.message_key).encode())


def show(seconds: dict[str, float]) -> None:
    """Print medians and ratios."""
    print(f"Deciding {DENIALS:,} denials, {RUNS} runs each, processor time of one process:")
    for name, spent in seconds.items():
        ratio = spent / seconds["yardstick"]
        print(f"  {name:<10}{spent * 1e6:8.1f} µs   {1 / spent:8,.0f} a second   {ratio:5.1f} yardsticks")


if __name__ == "__main__":
    main()
