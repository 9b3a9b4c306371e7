"""What a reconciliation looks like: tables for people, one JSON object for programs. Ids and sums only."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from services.reconcile.conclusion import conclusion, cut_words, money
from services.reconcile.repairing import Repaired
from services.reconcile.report_files import unfinished
from services.reconcile.tally import Comparison, Sum, Tally
from services.reconcile.verdicts import Finding

REMITTANCES_SHOWN_MAX = 12
FINDINGS_SHOWN_MAX = 20
_WIDTH_MAX = 200

_CLAIMS = {
    "read": "claims read",
    "evented": "= with event",
    "no_event": "+ no event",
    "duplicates": "+ duplicate",
    "quarantined": "+ quarantined",
    "dismissed": "+ dismissed",
}
_EVENTS = {
    "events": "events",
    "decided": "decided",
    "recorded": "in the ledger",
    "parked": "parked",
    "on_the_way": "in flight",
    "missing": "missing",
}
_VERDICTS = {
    "missing": ("Missing", "`reprieve reconcile --repair` sends them again."),
    "overdue": (
        "On the way for more than two minutes",
        "Is everything running? They are sent again with back-off; `--repair` sends them now.",
    ),
    "staged": (
        "Read, not yet released",
        "Their file is still being read, or waits: see its receipt, `GET /v1/remittances/{receipt_id}`.",
    ),
    "in_flight": ("In flight", "Look again in a moment, or use a longer `--wait SECONDS`."),
    "parked": ("Parked", "Mend the cause, then `reprieve dlq replay --all` (or --id …)."),
    "disagrees": ("Different dollars", "A defect: tell the people who look after Reprieve, with these ids."),
    "unknown": ("Not known to ingest", "Was ingest's database restored from a backup? Push its files again."),
}


def render_table(comparison: Comparison, *, repaired: Repaired) -> RenderableType:
    """Show claims and events (per remittance if they fit on a page), what is absent, and the conclusion."""
    tallies = list(comparison.remittances())
    if len(tallies) > REMITTANCES_SHOWN_MAX:
        tallies = [tally for tally in tallies if not _is_quiet(tally)]
    claims = dict(_CLAIMS)
    if not comparison.total.dismissed.count:  # a column that is nearly always empty
        del claims["dismissed"]
    parts: list[RenderableType] = [
        _table("Claims, with what was charged", claims, tallies, comparison, amount="charged"),
        _table("Events, with what is denied", _EVENTS, tallies, comparison, amount="denied"),
    ]
    parts.extend(_absences(comparison))
    parts.extend(unfinished(comparison))
    if comparison.total.cut:
        parts.append(_cut(comparison.total.cut))
    if repaired.made_due:
        parts.append(Text(f"{repaired.made_due} messages were made due again."))
    if repaired.purged:
        parts.append(Text(f"{repaired.purged} messages cannot be sent again: what they said was purged."))
    parts.append(conclusion(comparison))
    return Group(*parts)


def _is_quiet(tally: Tally) -> bool:
    troubles = (tally.parked, tally.on_the_way, tally.missing)
    return (
        tally.released
        and not tally.cut
        and not tally.faults()
        and not any(trouble.count for trouble in troubles)
    )


def _table(
    title: str, columns: dict[str, str], tallies: Sequence[Tally], comparison: Comparison, *, amount: str
) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("remittance", overflow="fold")
    for heading in columns.values():
        table.add_column(heading, justify="right")
    rows = [(_name(tally), tally) for tally in tallies[:REMITTANCES_SHOWN_MAX]]
    remittances = len(comparison.tallies) + comparison.other_remittances
    for name, tally in [*rows, (f"all {remittances:,}", comparison.total)]:
        if tally is comparison.total:
            table.add_section()
        table.add_row(name, *(_cell(getattr(tally, column), amount) for column in columns))
    return table


def _name(tally: Tally) -> str:
    name = str(tally.remittance_id) if tally.remittance_id else "others"
    receipt = f", receipt {tally.receipt_id}" if tally.receipt_id else ""
    if not tally.released:
        return f"{name} (still being read{receipt})"
    return f"{name} (cut{receipt})" if tally.cut else name


def _cell(part: Sum, amount: str) -> str:
    dollars: Decimal = getattr(part, amount)
    return f"{part.count:,}\n{money(dollars)}"


def _absences(comparison: Comparison) -> Iterable[RenderableType]:
    for verdict, (title, remedy) in _VERDICTS.items():
        if comparison.verdicts[verdict]:
            findings = [one for one in comparison.findings if one.verdict == verdict]
            yield _absence(f"{title}: {comparison.verdicts[verdict]:,}. {remedy}", findings)
    for remittance_id, fault in comparison.faults():
        yield Text(f"Remittance {remittance_id or '(others)'} does not add up: {fault}.", style="bold")


def _cut(count: int) -> Text:
    """Say what came only in part: no sum tells of claims that never came."""
    return Text(
        f"{cut_words(count)}: the file ended before its end, so that a last claim may lack its adjustments"
        " and others may be missing. Ask the sender for the whole file and `reprieve push` it.",
        style="bold",
    )


def _absence(title: str, findings: list[Finding]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("at", "event", "remittance"):
        table.add_column(heading, overflow="fold")
    for heading in ("charged", "denied"):
        table.add_column(heading, justify="right")
    table.add_column("why", overflow="fold")
    for one in findings[:FINDINGS_SHOWN_MAX]:
        table.add_row(
            one.step,
            f"{one.event_id}:{one.revision}",
            str(one.remittance_id or ""),
            money(one.charge_amount),
            money(one.denied_amount),
            one.why,
        )
    if len(findings) > FINDINGS_SHOWN_MAX:
        table.add_row("…", "`--format json` lists more of them", "", "", "", "")
    return table


_encode = msgspec.json.Encoder(decimal_format="string").encode


def render_json(comparison: Comparison, *, repaired: Repaired) -> str:
    """Give one JSON object. Amounts are strings; `verdicts` counts the findings beyond a thousand too."""
    shown: dict[str, Any] = {
        "agrees": comparison.agrees(),
        "verdicts": dict(comparison.verdicts),
        "repaired": repaired.made_due,
        "purged": repaired.purged,
        "total": comparison.total,
        "remittances": list(comparison.remittances()),
        "faults": [{"remittance_id": one, "fault": fault} for one, fault in comparison.faults()],
        "findings": comparison.findings,
        "file_verdicts": dict(comparison.file_verdicts),
        "files": comparison.files,
        "files_hidden": comparison.files_hidden,
        "held": comparison.held,
        "cut": comparison.total.cut,
    }
    return _encode(shown).decode()


def show(report: RenderableType) -> None:
    """Print a report. Where nobody looks at a terminal (a pipe, a log) its tables are whole: ids too."""
    console = Console()
    if not console.is_terminal:
        parts = report.renderables if isinstance(report, Group) else [report]
        options = console.options.update(max_width=_WIDTH_MAX)
        widths = [Measurement.get(console, options, one).maximum for one in parts if isinstance(one, Table)]
        console.width = max([console.width, *widths])
    console.print(report)
