"""Where and when a look is, what it found, and what it leaves for the next one."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import Alert, Change
from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.groups import Place
from services.tracker.alerts.domain.pipeline import Fact
from services.tracker.alerts.domain.rules import Rule
from services.tracker.alerts.store.pulse import Pulse
from services.tracker.alerts.store.settings import Chosen
from shared.errors import UnavailableError
from shared.observability import metrics
from shared.postgres import lock_shards

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """
    Where and when a look is, with the rules that are switched on. `case_link` has `{case_id}` in it.

    `caught_up_at` is set after an outage: it marks what is found.
    """

    organization_id: UUID
    at: datetime
    rules: Sequence[Rule]
    chosen: Chosen
    caught_up_at: datetime | None
    case_link: str | None = None

    @property
    def calendar(self) -> Calendar:
        return self.chosen.calendar


@dataclass(slots=True)
class Found:
    """
    What a look found so far. `gone` are alerts whose reason is gone, without those that got worse.

    `pending`: when time alone may first let a rule find something in a case that is in its range already.
    """

    pending: dict[UUID, datetime]
    opened: list[Alert] = field(default_factory=list)
    gone: list[Alert] = field(default_factory=list)
    resolved: int = 0
    judged: int = 0
    failed: bool = False

    def add(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.opened:
                self.opened.append(change.opened)
            if change.resolved:
                self.resolved += 1
                if not change.opened:
                    self.gone.append(change.resolved[0])


@dataclass(frozen=True, slots=True)
class Telling:
    """What the groups wait for, as Dispatch has it; `changed`: something that was not told yet."""

    standing: frozenset[Place]
    flush_at: datetime | None
    wake_at: datetime | None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look leaves in memory; it goes with the process."""

    look: Look
    pulse: Pulse
    facts: Sequence[Fact] | None
    pending: dict[UUID, datetime]
    telling: Telling


@asynccontextmanager
async def apart(look: Look, found: Found, kind: str) -> AsyncIterator[None]:
    """Let a rule that cannot be applied keep no other from being. Such a look is not remembered."""
    try:
        yield
    except UnavailableError:
        raise
    except Exception:
        log.exception("alert_rule_failed", organization_id=look.organization_id, kind=kind)
        metrics.ALERT_LOOKS_FAILED.inc()
        found.failed = True


async def only_one(connection: AsyncConnection, organization_id: UUID) -> None:
    """Make two evaluators, should there be two for a moment, take turns."""
    await lock_shards(connection, "tracker alerts", [organization_id.int % 2**31])
