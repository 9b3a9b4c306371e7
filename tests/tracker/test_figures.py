"""The same denials, the same money: what explain sums up is what the tracker's summary says."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from rich.console import Console

from services.ingest.domain.events import EventContext, event_or_quarantine
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimRead, SetOpened
from services.ingest.simulate import Simulation, simulate
from services.tracker.domain.clocks import day_of
from services.tracker.store.search import summarize
from services.triage.policies import shipped_policies
from services.triage.render import explain_rows, render
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.denial_triaged import DenialTriaged
from shared.postgres import transaction

NOW = datetime.now(UTC)
"""The database counts from its own clock, so the denials are dated back from it."""
TODAY = NOW.date()


def denials(organization: UUID, paid_on: date, seed: int) -> Iterator[ClaimDenied]:
    simulation = Simulation(
        seed=seed, claims=150, claims_per_set=20, denied=0.6, authorization=0.8, reversed=0, paid_on=paid_on
    )
    header = None
    for item in read(simulate(simulation)):
        if isinstance(item, SetOpened):
            header = item.header
        elif isinstance(item, ClaimRead) and header and item.claim.kind == "denied":
            context = EventContext(
                organization_id=organization, remittance_id=uuid4(), received_at=NOW, received_on=TODAY
            )
            event = event_or_quarantine(item.claim, header, context, None)
            assert isinstance(event, ClaimDenied)
            yield event


def on_the_edge(row: DenialTriaged) -> bool:
    """Explain counts days and the tracker instants: leave out what ends about now."""
    ends = (end for one in row.clocks for end in (one.deadline_at, one.earliest, one.latest) if end)
    return any(abs(end - NOW) < timedelta(hours=36) for end in ends)


async def test_explain_and_the_summary_say_the_same_of_the_same_denials(engine, record):
    organization = uuid4()
    events = [
        event
        for seed, age in enumerate((5, 40, 85, 170, 300), start=1)
        for event in denials(organization, TODAY - timedelta(days=age), seed)
    ]
    rows = [row for row in explain_rows(events, shipped_policies(), TODAY) if not on_the_edge(row)]
    console = Console(file=io.StringIO(), width=200)
    render(rows, "table", console=console, as_of=TODAY)
    told = console.file.getvalue().splitlines()[-1]

    await record(*rows)
    async with transaction(engine, organizations=[organization]) as connection:
        summary = await summarize(connection, organization)

    figures = re.search(r"^(\d+) denials, (\d+) about .*\$([\d,.]+) in .* \((.+)\)\.$", told)
    assert figures is not None, told
    assert (summary["denials"], summary["auth_related"]) == (int(figures[1]), int(figures[2]))
    assert summary["open_clock_amount"] == Decimal(figures[3].replace(",", ""))
    on = day_of(summary["next_deadline_at"], zone=summary["next_deadline_zone"])
    assert on == date.fromisoformat(figures[4])
    # Else the sums would agree without meaning it: some ranges have begun to end, some money has no clock.
    bounds = [one for row in rows if row.auth_related for one in row.clocks if one.earliest and one.latest]
    assert any(one.earliest < NOW < one.latest for one in bounds)
    about = sum(row.amount_at_stake for row in rows if row.auth_related)
    assert 0 < summary["open_clock_amount"] < about
    assert len({row.payer.name for row in rows}) > 3
