"""What `reprieve explain` prints: a table for people, JSON lines and CSV for programs."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.triage.domain.actions import ACTION_WORDS
from services.triage.domain.clocks import may_have_closed, plan_for, state_of
from services.triage.domain.decide import decide
from services.triage.domain.fact_words import fact_words
from services.triage.domain.histories import NO_OTHERS, Others
from services.triage.domain.next_clock import end_ahead, next_clock, next_instant
from services.triage.domain.policies import Policies
from shared.calendars import Calendar
from shared.contracts.base import encode
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Clock
from shared.contracts.denial_triaged import DenialTriaged
from shared.terminal import printable

Format = Literal["table", "json", "csv"]

CSV_COLUMNS = (
    "payer",
    "claim_number",
    "payer_claim_number",
    "payer_date",
    "service_from",
    "service_to",
    "charge_amount",
    "amount_at_stake",
    "auth_related",
    "category",
    "route",
    "codes",
    "responsible_party",
    "urgency",
    "recommended_action",
    "next_actions",
    "documents",
    "next_clock",
    "permitted",
    "deadline_at",
    "earliest",
    "latest",
    "days_left",
    "policy",
    "policy_status",
    "missing_facts",
    "priority",
    "confidence",
    "needs_human",
    "needs_human_reasons",
    "explanation",
    "as_of",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
_SOON_DAYS = 7
_MISSING = "Missing: "


def explain_rows(
    events: Iterable[ClaimDenied],
    policies: Policies,
    as_of: date,
    *,
    others: Callable[[ClaimDenied], Others] = lambda _event: NO_OTHERS,
) -> Iterator[DenialTriaged]:
    """Decide each denial as of one day, in order, holding none. `others`: what else is said of its claim."""
    calendar = Calendar()
    for event in events:
        beside = others(event)
        decision = decide(
            event, (), policies, calendar, as_of, history=beside.seen, history_partial=beside.partial
        )
        yield DenialTriaged.of(event, decision)


def render(rows: Iterable[DenialTriaged], format: Format, console: Console, as_of: date) -> int:  # noqa: A002
    """
    Print the rows to the console's file; gives how many there were.

    JSON and CSV hold one row at a time; the table holds all, since what is about authorization comes first.
    """
    if format == "json":
        return _json(rows, console)
    if format == "csv":
        return _csv(rows, console, as_of)
    return _table(list(rows), console, as_of)


def _json(rows: Iterable[DenialTriaged], console: Console) -> int:
    count = 0
    for row in rows:
        console.file.write(encode(row).decode() + "\n")
        count += 1
    return count


# -- CSV ----------------------------------------------------------------------------------------------------


def _csv(rows: Iterable[DenialTriaged], console: Console, as_of: date) -> int:
    writer = csv.writer(console.file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    count = 0
    for row in rows:
        writer.writerow([_cell(value) for value in _columns(row, as_of)])
        count += 1
    return count


def _columns(row: DenialTriaged, as_of: date) -> tuple[object, ...]:
    clock = next_clock(row.clocks, as_of)
    end = None if clock is None else end_ahead(clock, as_of)
    return (
        row.payer.name,
        row.claim_number,
        row.payer_claim_number,
        row.payer_date,
        row.service_from,
        row.service_to,
        row.charge_amount,
        row.amount_at_stake,
        row.auth_related,
        row.category,
        row.route,
        " ".join(dict.fromkeys(_code(item.group, item.reason) for item in row.items)),
        row.responsible_party,
        row.urgency_class,
        row.recommended_action,
        "; ".join(row.next_actions),
        "; ".join(row.documents),
        clock and clock.label,
        clock and {True: "yes", False: "no", None: "unknown"}[clock.permitted],
        clock and clock.deadline_at,
        clock and clock.earliest,
        clock and clock.latest,
        None if end is None else max((end.date() - as_of).days, 0),
        row.payer_match or "default",
        clock and clock.policy_status,
        clock and " ".join(clock.missing_facts),
        row.priority,
        row.confidence,
        row.needs_human,
        "; ".join(row.needs_human_reasons),
        " | ".join(row.explanation),
        row.as_of,
    )


def _cell(value: object) -> str:
    """Write a cell so that no spreadsheet takes text of a file for a formula (CWE-1236)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):  # money
        return f"{value:.2f}"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


# -- the table ----------------------------------------------------------------------------------------------


def _table(rows: Sequence[DenialTriaged], console: Console, as_of: date) -> int:
    first = sorted((row for row in rows if row.auth_related), key=lambda row: -row.priority)
    unclear = [row for row in rows if row.category == "unclear"]
    others = [row for row in rows if not row.auth_related and row.category != "unclear"]
    _section(first, "About authorization, the most pressing first", console, as_of)
    _section(unclear, "Unclear: a person must look", console, as_of)
    _elsewhere(others, console)
    console.print(Text(_summary(rows, as_of), style="bold"))
    return len(rows)


def _section(rows: Sequence[DenialTriaged], title: str, console: Console, as_of: date) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", expand=True, show_lines=True, padding=(0, 1))
    table.add_column("Denial", ratio=5, overflow="fold")
    table.add_column("Clocks", ratio=6, overflow="fold")
    table.add_column("Next action, and why", ratio=10, overflow="fold")
    for row in rows:
        table.add_row(_denial(row), _clocks(row, as_of), _why(row))
    console.print(table)


def _elsewhere(rows: Sequence[DenialTriaged], console: Console) -> None:
    """What other teams work on, in few lines: the file may hold thousands of them."""
    if not rows:
        return
    table = Table(title="Not about authorization", title_justify="left", expand=True, padding=(0, 1))
    table.add_column("Payer, claim", ratio=5, overflow="fold")
    table.add_column("Amount", justify="right")
    table.add_column("Next action, and why", ratio=10, overflow="fold")
    for row in rows:
        who = f"{printable(row.payer.name or 'payer not named')}, {printable(row.claim_number)}"
        why = dict.fromkeys(f"{_code(item.group, item.reason)}: {item.why}" for item in row.items)
        text = Text(f"{row.next_actions[0] if row.next_actions else ACTION_WORDS[row.recommended_action]}. ")
        text.append(" ".join(why), style="dim")
        for clock in row.clocks:
            text.append(f" {clock.label}: {clock_words(clock, row.as_of)[0]}.", style="dim")
        table.add_row(Text(who), f"{row.amount_at_stake:,.2f}", text)
    console.print(table)


def _denial(row: DenialTriaged) -> Text:
    text = Text()
    text.append(printable(row.payer.name or "payer not named") + "\n", style="bold")
    text.append(f"{printable(row.claim_number) or 'no claim number'}\n")
    text.append(f"${row.amount_at_stake:,.2f}", style="bold")
    if row.amount_at_stake != row.charge_amount:
        text.append(f" of ${row.charge_amount:,.2f}", style="dim")
    kind = row.category if row.route is None else f"{row.route} (not authorization)"
    text.append(f"\n{kind.replace('_', ' ')}", style="cyan")
    if row.urgency_class != "unknown":
        text.append(f"\n{row.urgency_class}", style="magenta")
    return text


def _clocks(row: DenialTriaged, as_of: date) -> Text:
    text = Text()
    for clock in row.clocks:
        if text:
            text.append("\n")
        text.append(clock.label, style="bold")
        words, style = clock_words(clock, as_of)
        text.append(f"\n{words}", style=style)
        if clock.policy_status == "unconfirmed":
            text.append(" (unconfirmed)", style="dim")
        if clock.missing_facts and clock.permitted is not False:
            text.append(f"\nneeds: {fact_words(clock.missing_facts)}", style="dim")
    if not text:
        text.append("no clock is known", style="dim")
    return text


def clock_words(clock: Clock, as_of: date) -> tuple[str, str]:
    """Say where a clock stands on a day, and in which style."""
    state = state_of(clock, as_of)
    end = plan_for(clock)
    if state == "forbidden":
        return "not permitted", "dim"
    if end is None:
        return ("no date yet" if clock.missing_facts else "open, no end stated"), "yellow"
    days = (end.date() - as_of).days
    if state == "closed":
        # Where the rule itself is unknown nothing closed for certain.
        last = clock.deadline_at or clock.latest or end
        return f"{'closed' if clock.permitted else 'if it applied, closed'} on {last:%Y-%m-%d}", "red"
    style = "bold red" if days <= _SOON_DAYS else "green" if state == "open" else "yellow"
    if clock.deadline_at is not None:
        hour = "" if end.hour == 23 else f" {end:%H:%M}"
        return f"until {end:%Y-%m-%d}{hour}, {_days_left(days)}", style
    if clock.earliest is not None and clock.latest is not None:
        late = may_have_closed(clock, as_of)
        left = "it may have closed, act today" if late else _days_left(days)
        style = "bold red" if late else style
        return f"until {clock.earliest:%Y-%m-%d} to {clock.latest:%Y-%m-%d}, {left}", style
    bound = "at the earliest" if end == clock.earliest else "at the latest"
    return f"until {end:%Y-%m-%d} {bound}, {_days_left(days)}", style


def _why(row: DenialTriaged) -> Text:
    text = Text(ACTION_WORDS[row.recommended_action], style="bold")
    for number, step in enumerate(row.next_actions, start=1):
        text.append(f"\n{number}. {step}", style="not bold")
    for line in _papers(row.documents):
        text.append(f"\n{printable(line)}", style="not bold")
    for reason in row.needs_human_reasons:
        text.append(f"\nA person must look: {reason}", style="not bold yellow")
    for line in row.explanation:
        text.append(f"\n{printable(line)}", style="not bold dim")
    return text


def _papers(documents: Sequence[str]) -> list[str]:
    """Give what the remittance answers, and in one line what is missing."""
    missing = [text.removeprefix(_MISSING) for text in documents if text.startswith(_MISSING)]
    lines = [text for text in documents if not text.startswith(_MISSING)]
    return [*lines, f"{_MISSING}{'; '.join(missing)}"] if missing else lines


def _summary(rows: Sequence[DenialTriaged], as_of: date) -> str:
    about = [row for row in rows if row.auth_related]
    clocks = [(row, next_clock(row.clocks, as_of)) for row in about]
    open_ = [(row, end) for row, clock in clocks if clock and (end := next_instant(clock, as_of))]
    amount = sum((row.amount_at_stake for row, _ in open_), Decimal(0))
    ends = [end for _, end in open_]
    denials = f"{len(rows)} denial{'' if len(rows) == 1 else 's'}"
    text = f"{denials}, {len(about)} about authorization"
    if not about:
        return f"{text}."
    text += f", ${amount:,.2f} in denied charges with a clock still open"
    if not ends:
        return f"{text}, no deadline known."
    soonest = min(ends).date()
    return f"{text}, next deadline {_in_days((soonest - as_of).days)} ({soonest})."


def _in_days(days: int) -> str:
    return "today" if days == 0 else f"in {_days(days)}"


def _days_left(days: int) -> str:
    return "perhaps still open" if days < 0 else "today" if days == 0 else f"{_days(days)} left"


def _days(days: int) -> str:
    return f"{days} day{'' if days == 1 else 's'}"


def _code(group: str, reason: str) -> str:
    return f"{group}-{reason or 'none'}"
