"""
Batches of claim events and facts become decisions, in one transaction each.

What is new is kept and decided; what was seen before has its decision sent again, so that every message
seen leads to a receipt. The shards' locks make workers that share a claim key take turns: an event and a
fact about it cannot miss each other.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.domain.decide import decide
from services.triage.domain.histories import NO_OTHERS, ClaimKey, History, Others, others_of
from services.triage.domain.policies import Policies
from services.triage.domain.redeciding import same_words
from services.triage.store.audit import NOBODY, audit
from services.triage.store.decisions import (
    decided_among,
    decision_id,
    insert_decisions,
    parked_among,
    send_again,
    undecided_among,
)
from services.triage.store.events import (
    EventKey,
    StoredDenial,
    denials_named_by,
    insert_events,
    key_of,
    purged_named_by,
)
from services.triage.store.facts import FactKey, facts_of_keys, insert_facts
from services.triage.store.histories import histories_of
from services.triage.store.organizations import time_zones
from services.triage.store.policy_sets import InForce, PolicySets
from services.triage.workers.batch import Batch
from shared.calendars import Calendar
from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.claim_reversed import ClaimReversed
from shared.contracts.decision import DecisionCause
from shared.contracts.denial_triaged import Triaged
from shared.contracts.fact_recorded import FactRecorded
from shared.observability import metrics
from shared.postgres import lock_shards

log = structlog.get_logger()

PURGED = "PayloadPurged"
"""Why a fact is parked whose denials nobody can decide again: their retention ended."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What decisions are made with. A batch takes the policies that are in force when it has its locks."""

    policies: PolicySets
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class BatchResult:
    """
    What a batch led to: what was new, the decisions made, how many earlier ones are sent again.

    `parked` are the repeated messages whose decision lies in a dead-letter topic, with the reason, and facts
    about events that were purged.
    """

    events: int
    facts: int
    decisions: list[Triaged | ClaimOutcomeSeen]
    sent_again: int
    parked: dict[EventKey | FactKey, str]


async def decide_batch(connection: AsyncConnection, batch: Batch, rules: Rules) -> BatchResult:
    """Keep what is new of a batch and decide it; see to the receipts of what is not. The caller commits."""
    await lock_shards(connection, "triage", batch.shards())
    in_force = await rules.policies.in_force(connection)
    new_events = await insert_events(connection, batch.events, batch.payloads())
    new_facts = await insert_facts(connection, batch.facts)

    # As a rule none. Keys are asked for no more than is needed: to hash two ids takes a while.
    repeated = set(batch.events) - new_events
    fresh_keys = new_events | await undecided_among(connection, repeated)
    fresh = [event for key, event in batch.events.items() if not repeated or key in fresh_keys]
    named = await denials_named_by(
        connection, [fact for key, fact in batch.facts.items() if key in new_facts]
    )
    reopened = [denial for denial in named if key_of(denial.event) not in fresh_keys]
    decisions = await _decisions(
        connection, fresh, reopened, new=new_events, in_force=in_force, calendar=rules.calendar
    )
    await insert_decisions(connection, decisions, batch.received)

    askers = await _askers(connection, batch, repeated, new_facts)
    sent_again = await send_again(connection, askers.keys())
    parked = await parked_among(connection, askers.keys())
    purged = await _undecidable(connection, batch.facts)
    return BatchResult(
        events=len(new_events),
        facts=len(new_facts),
        decisions=decisions,
        sent_again=sent_again,
        parked={asker: reason for key, reason in parked.items() for asker in askers[key]} | purged,
    )


async def _undecidable(
    connection: AsyncConnection, facts: Mapping[FactKey, FactRecorded]
) -> dict[EventKey | FactKey, str]:
    """Give the facts all of whose denials were purged: no decision will ever weigh them."""
    purged = await purged_named_by(connection, facts.values())
    return {
        key: PURGED
        for key, fact in facts.items()
        if fact.event_ids and all((fact.organization_id, one) in purged for one in fact.event_ids)
    }


async def _askers(
    connection: AsyncConnection, batch: Batch, repeated_events: set[EventKey], new_facts: set[FactKey]
) -> dict[EventKey, list[EventKey | FactKey]]:
    """Give the decided events for which a repeated message still misses a receipt, with these messages."""
    askers: dict[EventKey, list[EventKey | FactKey]] = {key: [key] for key in repeated_events}
    repeated = {key: fact for key, fact in batch.facts.items() if key not in new_facts}
    for denial in await denials_named_by(connection, repeated.values()):
        about = [key for key, fact in repeated.items() if denial.event.event_id in fact.event_ids]
        askers.setdefault(key_of(denial.event), []).extend(about)
    return askers


@dataclass(frozen=True, slots=True)
class _Known:
    """All that a batch's denials are decided by."""

    facts: Mapping[tuple[UUID, UUID], Sequence[FactRecorded]]
    zones: Mapping[UUID, tzinfo]
    histories: Mapping[ClaimKey, History]
    in_force: InForce
    calendar: Calendar

    def triage(self, event: ClaimDenied, revision: int) -> Triaged:
        others = others_of(self.histories, event)
        return self._decide(event, others, revision, self._as_of(event, others))

    async def triage_again(self, connection: AsyncConnection, denial: StoredDenial) -> Triaged | None:
        """
        Decide a denial whose history has something new; None where that changes nothing about it.

        None as well where it cannot be decided: its decision stands, which the audit log says. What arrived
        is no part of that defect, and is decided all the same.
        """
        try:
            return self._differently(denial)
        except Exception as error:
            event = denial.event
            log.exception("redecision_failed", event_id=event.event_id)
            metrics.REDECISIONS_FAILED.inc()
            await audit(
                connection,
                "redecision_failed",
                scope=event.organization_id,
                principal_id=NOBODY,
                subject_id=str(event.event_id),
                detail={"reason": type(error).__name__, "decision_revision": denial.decided},
            )
            return None

    def _differently(self, denial: StoredDenial) -> Triaged | None:
        event, revision = denial.event, (denial.decided or 0) + 1
        history = self.histories[event.organization_id, event.claim_key]
        as_of = self._as_of(event, history.others(event))
        after = self._decide(event, history.others(event), revision, as_of)
        before = self._decide(event, history.others_before(event), revision, as_of)
        return None if same_words(before.decision, after.decision) else after

    def _decide(self, event: ClaimDenied, others: Others, revision: int, as_of: date) -> Triaged:
        policies = self.in_force.of(event.organization_id)
        return triage_denial(
            event, self._about(event), policies, self.calendar, as_of=as_of, revision=revision, others=others
        )

    def _about(self, event: ClaimDenied) -> Sequence[FactRecorded]:
        return self.facts.get((event.organization_id, event.event_id), ()) if self.facts else ()

    def _as_of(self, event: ClaimDenied, others: Others) -> date:
        """
        Give the day on which all was known.

        That is the receipt's, that of earlier remittances if they came later, or the latest fact's in the
        organization's own zone.
        """
        known_on = others.known_on(event) if others.seen else event.received_on
        if not (facts := self._about(event)):
            return known_on
        zone = self.zones.get(event.organization_id, UTC)
        return max([known_on, *(fact.recorded_at.astimezone(zone).date() for fact in facts)])


async def _decisions(
    connection: AsyncConnection,
    fresh: Sequence[ClaimObserved],
    reopened: Sequence[StoredDenial],
    *,
    new: Collection[EventKey],
    in_force: InForce,
    calendar: Calendar,
) -> list[Triaged | ClaimOutcomeSeen]:
    """
    Decide the new events in their order, then again the denials that new facts name.

    Last come those about which something new tells, as an earlier remittance that arrives late does.
    """
    asked = [*fresh, *(denial.event for denial in reopened)]
    histories = await histories_of(connection, asked, new)
    touched = await _touched(connection, histories, {key_of(event) for event in asked}) if histories else []
    denials = [event for event in asked if isinstance(event, ClaimDenied)]
    denials.extend(denial.event for denial in touched)
    facts = await facts_of_keys(connection, {(one.organization_id, one.claim_key) for one in denials})
    zones = await time_zones(connection) if facts else {}
    known = _Known(facts, zones, histories, in_force, calendar)

    started = time.perf_counter()
    first = [known.triage(event, 1) if isinstance(event, ClaimDenied) else _outcome(event) for event in fresh]
    if fresh:  # once for all: to observe each would cost a denial as much as to find its payer's policy
        metrics.DECIDE_SECONDS.observe((time.perf_counter() - started) / len(fresh))
    again = [known.triage(denial.event, (denial.decided or 0) + 1) for denial in reopened]
    moved = [made for one in touched if (made := await known.triage_again(connection, one)) is not None]
    return [*first, *again, *moved]


async def _touched(
    connection: AsyncConnection, histories: Mapping[ClaimKey, History], asked: Collection[EventKey]
) -> list[StoredDenial]:
    """Give the decided denials that are not decided anyway and that something new may tell."""
    found = {
        key: event
        for history in histories.values()
        for event in history.touched()
        if (key := key_of(event)) not in asked
    }
    decided = await decided_among(connection, found)
    return [StoredDenial(event, decided[key]) for key, event in found.items() if key in decided]


def triage_denial(
    event: ClaimDenied,
    facts: Sequence[FactRecorded],
    policies: Policies,
    calendar: Calendar,
    *,
    as_of: date,
    revision: int,
    cause: DecisionCause | None = None,
    others: Others = NO_OTHERS,
) -> Triaged:
    """Decide one denial with its facts, given earliest first. `cause`: why again, where no fact says so."""
    latest = {fact.kind: fact for fact in facts}
    decision = decide(
        event,
        tuple(latest.values()),
        policies=policies,
        calendar=calendar,
        as_of=as_of,
        decision_revision=revision,
        history=others.seen,
        history_partial=others.partial,
    )
    if not facts and cause is None:
        return Triaged(event, decision)
    # The decision settles every fact that it lists. A fact that a later one replaced must be listed as well,
    # or its producer would repeat it for ever.
    known = tuple(fact.fact_id for fact in facts)
    return Triaged(event, msgspec.structs.replace(decision, fact_ids=known, cause=cause))


def _outcome(event: ClaimObserved) -> ClaimOutcomeSeen:
    if not isinstance(event, ClaimReversed | ClaimAdjudicated):
        raise TypeError(type(event).__name__)
    return ClaimOutcomeSeen.of(event, decision_id=decision_id(event.event_id, event.revision, 1))
