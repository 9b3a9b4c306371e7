"""Every topic: what it carries, who writes and reads it, how long it is kept."""

from dataclasses import dataclass

from shared.contracts.base import Event
from shared.contracts.case_events import CaseChanged, CaseClosed, CaseOpened
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.claim_reversed import ClaimReversed
from shared.contracts.denial_triaged import DenialTriaged
from shared.contracts.events_receipted import EventsReceipted
from shared.contracts.fact_recorded import FactRecorded

DEAD_LETTER_DAYS = 90


@dataclass(frozen=True, slots=True)
class Topic:
    """`key` says in words what is kept in order; `consumers` are group names."""

    name: str
    purpose: str
    types: tuple[type[Event], ...]
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    kept_days: int

    def dead_letters(self) -> tuple[str, ...]:
        """The dead-letter topic of each consumer group."""
        return tuple(dead_letter_topic(self.name, group) for group in self.consumers)


def dead_letter_topic(topic: str, group: str) -> str:
    """Name the topic where `group` lays aside what it cannot use of `topic`."""
    return f"{topic}-{group}-dlq"


TOPICS: tuple[Topic, ...] = (
    Topic(
        name="claim-events",
        purpose="Claims that a remittance denies, and every other observation of those claims.",
        types=(ClaimDenied, ClaimReversed, ClaimAdjudicated),
        key="claim key",
        producers=("ingest",),
        consumers=("triage",),
        kept_days=14,
    ),
    Topic(
        name="claim-decisions",
        purpose="Denials with their classification and clocks; outcomes of claims that were denied.",
        types=(DenialTriaged, ClaimOutcomeSeen),
        key="claim key",
        producers=("triage",),
        consumers=("tracker",),
        kept_days=14,
    ),
    Topic(
        name="case-facts",
        purpose="Facts that people add to cases, so that triage decides again.",
        types=(FactRecorded,),
        key="claim key",
        producers=("tracker",),
        consumers=("triage",),
        kept_days=14,
    ),
    Topic(
        name="settlement-receipts",
        purpose="What became of each message: settled in the ledger, or parked with a reason.",
        types=(EventsReceipted,),
        key="the producer's shard",
        producers=("tracker", "triage"),
        consumers=("ingest-settlement", "triage-settlement", "tracker-settlement"),
        kept_days=14,
    ),
    Topic(
        name="case-events",
        purpose="Cases opened, changed and closed, for warehouses, EHRs and hooks.",
        types=(CaseOpened, CaseChanged, CaseClosed),
        key="case",
        producers=("tracker",),
        consumers=(),
        kept_days=30,
    ),
)

EVENT_TYPES: dict[str, type[Event]] = {cls.__name__: cls for topic in TOPICS for cls in topic.types}
