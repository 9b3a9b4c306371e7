"""
What the files of one `reprieve explain` say of a claim more than once: the worker reads it from its store.

The files are read once to see which claim numbers come again with a denial among them and, if any do, once
more for what is said of those: what stands alone is never held.
"""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from uuid import UUID, uuid5

from services.ingest.domain.claim import Claim
from services.ingest.domain.events import ClaimEvent, EventContext, event_or_quarantine
from services.ingest.domain.identity import claim_key
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimQuarantined, ClaimRead, SetHeader, SetOpened
from services.triage.domain.histories import NO_OTHERS, Others
from services.triage.domain.repeats import same_patient
from services.triage.store.histories import OBSERVATIONS_MAX
from shared.contracts.claim_denied import ClaimDenied
from shared.security.sealing import KEY_BYTES, Sealer
from shared.values import REPRIEVE_NAMESPACE

NOBODY = UUID(int=0)
Reading = Callable[[], Iterable[bytes]]
"""Reads one file from its start, each time that it is called."""


def context_of(name: str, header: SetHeader, day: date) -> EventContext:
    """Give what an event of a file tells of its arrival where nobody received it."""
    return EventContext(
        organization_id=NOBODY,
        remittance_id=uuid5(REPRIEVE_NAMESPACE, f"explain {name} {header.set_ordinal}"),
        received_at=datetime.combine(day, time(), UTC),
        received_on=day,
    )


class Repeats:
    """The observations of the claim numbers that come more than once, each by its event id."""

    def __init__(self, seen: Mapping[UUID, Collection[ClaimEvent]]) -> None:
        self._seen = {key: {one.event_id: one for one in events} for key, events in seen.items()}

    def others(self, event: ClaimDenied) -> Others:
        """Give what else the files say of the claim of a denial."""
        seen = self._seen.get(event.claim_key)
        if seen is None:
            return NO_OTHERS
        own = seen.get(event.event_id)
        # What is printed names nobody; what is held here can tell two patients of one number apart.
        beside = [
            one
            for one in seen.values()
            if one.event_id != event.event_id and (own is None or same_patient(one, own))
        ]
        return Others(beside, partial=len(seen) == OBSERVATIONS_MAX)


def repeats_in(files: Sequence[Reading], day: date) -> Repeats:
    """Read the files for what they say more than once. What cannot be read is passed over."""
    counts: Counter[UUID] = Counter()
    denied: set[UUID] = set()
    for key, claim, _ in _claims(files):
        counts[key] += 1
        if claim.kind == "denied":
            denied.add(key)
    again = {key for key in denied if counts[key] > 1}
    return Repeats(_observed(files, again, day) if again else {})


def _observed(files: Sequence[Reading], keys: Collection[UUID], day: date) -> dict[UUID, deque[ClaimEvent]]:
    """Keep what is said of these claim keys; of a number that names no claim, as much as the worker reads."""
    sealer = _sealer(day)
    seen: dict[UUID, deque[ClaimEvent]] = defaultdict(lambda: deque(maxlen=OBSERVATIONS_MAX))
    for key, claim, header in _claims(files):
        if key in keys and claim.kind != "predetermination":
            event = event_or_quarantine(claim, header, context_of("", header, day), sealer)
            if not isinstance(event, ClaimQuarantined):
                seen[key].append(event)
    return seen


def _claims(files: Sequence[Reading]) -> Iterator[tuple[UUID, Claim, SetHeader]]:
    """Give the claims with their keys; one without a number has a key of its own."""
    number = 0
    for blocks in files:
        header: SetHeader | None = None
        for item in read(blocks()):
            if isinstance(item, SetOpened):
                header = item.header
            elif isinstance(item, ClaimRead) and header is not None:
                number += 1
                yield claim_key(NOBODY, item.claim, UUID(int=number)), item.claim, header


def _sealer(day: date) -> Sealer:
    """Make keys for this run alone: they compare people and are never written."""
    return Sealer(
        organization_id=NOBODY,
        month=day.replace(day=1),
        data_key=os.urandom(KEY_BYTES),
        index_key=os.urandom(KEY_BYTES),
    )
