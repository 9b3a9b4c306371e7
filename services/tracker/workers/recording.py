"""
A batch of decisions becomes ledger rows, cases and messages, in one transaction.

Whatever comes twice, in this batch or after any other, changes nothing but is receipted again. The shards'
locks make batches that touch the same claim keys wait for each other, so a fold always sees the whole set.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.domain.announcements import receipts_for
from services.tracker.domain.cases import Case, first_case
from services.tracker.domain.fold import fold
from services.tracker.domain.observations import Observation, read_observation
from services.tracker.store import cases, ledger
from services.tracker.store.feed import announce
from services.tracker.store.folding import write_folded
from services.tracker.store.ledger import ClaimKey
from services.tracker.store.outboxes import settle_facts
from services.tracker.store.steps import steps_of_keys
from shared import clock
from shared.contracts.case_events import CaseEvent
from shared.contracts.denial_triaged import DenialTriaged
from shared.kafka.received import Received
from shared.observability import metrics
from shared.postgres import lock_shards, transaction
from shared.values import shard_of

GROUP = "tracker"
TOPICS = (DenialTriaged.topic,)


async def record_batch(engine: AsyncEngine, batch: Sequence[Received]) -> None:
    """Record what a consumer received; returns when it is committed."""
    decisions = [(one.event, bytes(one.record.value)) for one in batch if isinstance(one.event, Observation)]
    if decisions:
        await record_decisions(engine, decisions)


async def record_decisions(engine: AsyncEngine, decisions: Sequence[tuple[Observation, bytes]]) -> None:
    """Record decisions, each with the bytes in which it came."""
    once = {ledger.ledger_key(event): (event, payload) for event, payload in decisions}
    events = [event for event, _ in once.values()]
    async with transaction(
        engine, organizations=ledger.organizations_of(events), planned_once=True
    ) as connection:
        await lock_shards(connection, "tracker", {shard_of(event.claim_key) for event in events})
        new, before = await ledger.record(connection, once)
        changes = await _fold(connection, new, before)
        receipts = receipts_for(events, batch_id=uuid4())
        await settle_facts(connection, _weighed_facts(events))
        await announce(connection, changes, receipts)
    _count(new=len(new), repeated=len(decisions) - len(new), changes=changes)


async def _fold(
    connection: AsyncConnection, new: Iterable[Observation], before: dict[ClaimKey, list[bytes]]
) -> list[CaseEvent]:
    """Fold the claim keys that have something new, write the cases that moved, and give what to announce."""
    arrived: dict[ClaimKey, list[Observation]] = defaultdict(list)
    for event in new:
        arrived[ledger.claim_key(event)].append(event)
    # A key that the ledger did not know has no case: cases are made of its rows, and with them.
    known = await cases.known_cases(connection, before.keys())
    purged = {key for key, payloads in before.items() if not all(payloads)}
    first_ordinals = await cases.first_free_ordinals(connection, purged)
    worked = {key for key, some in known.items() if any(case.steps_count for case in some)}
    steps = await steps_of_keys(connection, worked)
    stored = {case.case_id: case for some in known.values() for case in some}
    folded: list[Case] = []
    for key, events in arrived.items():
        earlier = before.get(key, ()) if before else ()
        if not earlier and len(events) == 1 and events[0].is_denial:  # most, and to be fast
            folded.append(first_case(events[0]))
            continue
        observations = [*events, *(read_observation(one) for one in earlier if one)]
        folded += fold(
            observations,
            known.get(key, ()),
            steps=steps.get(key, ()),
            first_ordinal=first_ordinals.get(key, 0),
        )
    return await write_folded(connection, folded, stored, at=clock.now())


def _weighed_facts(events: Iterable[Observation]) -> dict[UUID, set[UUID]]:
    facts: dict[UUID, set[UUID]] = defaultdict(set)
    for event in events:
        if event.fact_ids:
            facts[event.organization_id].update(event.fact_ids)
    return facts


def _count(*, new: int, repeated: int, changes: Sequence[CaseEvent]) -> None:
    metrics.LEDGER_ROWS.labels("new").inc(new)
    metrics.LEDGER_ROWS.labels("repeated").inc(repeated)
    for type_, number in Counter(type(change) for change in changes).items():
        metrics.CASES_CHANGED.labels(type_.__name__).inc(number)
