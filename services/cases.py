"""
`reprieve cases`: the tracker's list and one case, for people at a terminal. It reaches the tracker over HTTP
only. What is done about a case stands in case_steps.py, what is told of it in case_facts.py, its files in
case_files.py.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.case_facts import facts
from services.case_files import files
from services.case_steps import steps
from services.queues import Where, export_cases, read_where
from shared.http.client import Stack, raise_for_problem
from shared.terminal import counted, escape, print_table

cases = typer.Typer(no_args_is_help=True, help="The denials being worked.")
cases.add_typer(steps)
cases.add_typer(facts)
cases.add_typer(files)
cases.command("export")(export_cases)

_PAGE = 200
_BEING_WORKED = [
    "open",
    "in_preparation",
    "submitted",
    "information_requested",
    "approved",
    "partly_approved",
    "denied",
    "corrected_claim_sent",
    "partly_paid",  # what is left to be won of a claim that was partly paid is open
    "paid",  # so little that a person has to say whether it is a recovery
]


class Format(StrEnum):
    """How to show it."""

    table = "table"
    json = "json"


_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]
_Output = Annotated[Format, typer.Option("--format", help="A table for people; json: one object a line.")]


@cases.command("list")
def list_cases(
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="Such as open, submitted or closed (docs/lifecycle.md); may be repeated. Without it all but"
            " reversed and closed, or with --claim-number all."
        ),
    ] = None,
    payer: Annotated[str | None, typer.Option(help="A payer's id or name, whole.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Such as authorization_absent.")] = None,
    claim_number: Annotated[str | None, typer.Option(help="As on the claim (CLP01).")] = None,
    deadline_before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Next deadline before this day.")
    ] = None,
    amount_at_least: Annotated[float | None, typer.Option(min=0, help="Dollars at stake.")] = None,
    where: Where = None,
    sort: Annotated[
        str, typer.Option(help="priority, deadline, amount, age, opened; a minus: largest first.")
    ] = "-priority",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    output: _Output = Format.table,
    data_dir: _DataDir = None,
) -> None:
    """List cases that are open, the most pressing first; --state lists others. Names are masked."""
    further = read_where(where)
    if state is None and claim_number is None and "state" not in further:
        state = _BEING_WORKED
    wanted = {
        "state": state,
        "payer": payer,
        "category": category,
        "claim_number": claim_number,
        "deadline_before": deadline_before.date().isoformat() if deadline_before else None,
        "amount_at_least": amount_at_least,
        "sort": sort,
    }
    given = {name: value for name, value in wanted.items() if value is not None} | further
    found = _cases(Stack.find(data_dir), given, limit=limit)
    if output is Format.json:
        for case in found:
            typer.echo(json.dumps(case))
        return
    print_table(_table(found))


@cases.command("show")
def show_case(
    case_id: Annotated[UUID, typer.Argument(metavar="CASE")],
    output: _Output = Format.table,
    data_dir: _DataDir = None,
) -> None:
    """Show one case: its decision, its clocks as they stand now, its requests, and what happened to it."""
    with Stack.find(data_dir).client("tracker", "biller") as tracker:
        case = raise_for_problem(tracker.get(f"/v1/cases/{case_id}")).json()
        timeline = raise_for_problem(tracker.get(f"/v1/cases/{case_id}/timeline")).json()["data"]
    if output is Format.json:
        typer.echo(json.dumps({**case, "timeline": timeline}))
        return
    console = Console(highlight=False)
    for line in _story(case, timeline):
        console.print(escape(line))


def _cases(stack: Stack, wanted: dict[str, Any], *, limit: int) -> Iterator[dict[str, Any]]:
    left = limit
    with stack.client("tracker", "biller") as tracker:
        cursor: str | None = None
        while left:
            place = {"limit": min(left, _PAGE)} | ({"cursor": cursor} if cursor else {})
            page = raise_for_problem(tracker.get("/v1/cases", params=wanted | place)).json()
            yield from page["data"]
            left -= len(page["data"])
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _table(found: Iterator[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("Deadline", no_wrap=True)
    table.add_column("Payer, claim, case", min_width=36)  # an id stays whole, for `reprieve cases show`
    table.add_column("Denial, next action")
    table.add_column("At stake", justify="right", no_wrap=True)
    for case in found:
        table.add_row(
            _deadline(case["next_deadline_on"], case["days_left"]),
            escape(f"{case['payer_name'] or 'unknown payer'}\n{case['claim_number']}\n{case['case_id']}"),
            f"{_words(case['category'])}, {_words(case['state'])}\n{_next(case)}"
            + ("\nneeds a person" if case["needs_human"] else "")
            + (f"\n{ACT_TODAY}" if case.get("may_have_closed") else "")
            + (f"\nanswer the payer by {_until(case)}" if case.get("information_due_at") else "")
            + (f"\nask again on {case['follow_up_on']}" if case.get("follow_up_on") else ""),
            f"${Decimal(case['amount_at_stake']):,.2f}",
        )
    return table


def _story(case: dict[str, Any], timeline: list[dict[str, Any]]) -> Iterator[str]:
    stake = f"${Decimal(case['amount_at_stake']):,.2f} at stake"
    number = case["claim_number"] or "without a number"
    yield f"{case['payer_name'] or 'unknown payer'}, claim {number}: {_words(case['state'])}"
    yield f"{_words(case['category'])}, {stake}, priority {case['priority']}"
    if case["purged_at"]:
        yield f"what was said about it was purged on {case['purged_at'][:10]}; ids and amounts are left"
    if decision := case["decision"]:
        yield f"next: {_next(case)}"
        if case["may_have_closed"]:
            yield ACT_TODAY
        yield from (f"  {number}. {action}" for number, action in enumerate(decision["next_actions"], 1))
        if decision["channel"]:
            yield f"by {decision['channel']}"
        yield from (f"contact: {one['purpose']}: {one['where']}" for one in decision["contacts"])
        for clock in decision["clocks"]:
            yield from _clock(clock)
    yield from _work(case)
    for entry in timeline:
        became = f" → {_words(entry['state'])}" if entry.get("state") else ""
        became += f" ({_words(entry['closed_reason'])})" if entry.get("closed_reason") else ""
        yield f"{entry['at'][:16].replace('T', ' ')}  {_happened(entry)}{became}"
        if entry["kind"] == "decision":
            yield from _difference(entry["decision"])


ACT_TODAY = "may have closed: act today"


def _work(case: dict[str, Any]) -> Iterator[str]:
    """Say what people are at: requests, papers, who has it, when to ask, and what can be done now."""
    for request in case["requests"]:
        level = f", level {request['level']}" if request["kind"] == "appeal" else ""
        reference = f", reference {request['reference']}" if request["reference"] else ""
        again = ", sent again since" if request["superseded"] else ""
        yield f"request: {_words(request['kind'])}{level}: {_words(request['state'])}{reference}{again}"
    if case["documents_complete"] is not None:
        yield f"papers: {case['documents_complete']:.0%} there"
        marks = {"missing": "[ ]"}
        yield from (
            f"    {marks.get(one['state'], '[x]')} {one['document']}{_held(one)}" for one in case["documents"]
        )
    if case["information_due_at"]:
        yield f"answer the payer by {_until(case)}"
    if case["follow_up_on"]:
        yield f"ask the payer again on {case['follow_up_on']}"
    if case["assignee_id"]:
        yield f"assigned to {case['assignee_id']}"
    if case["tags"]:
        yield f"tags: {', '.join(case['tags'])}"
    if case["closed_reason"] == "recovered":
        payer, patient = (f"${Decimal(case[f'recovered_{who}_amount']):,.2f}" for who in ("payer", "patient"))
        yield f"recovered: {payer} paid, {patient} left to the patient"
    if case["allowed_steps"]:
        yield f"now possible: {', '.join(_words(one) for one in case['allowed_steps'])}"


def _held(document: dict[str, Any]) -> str:
    count = len(document["file_ids"])
    return f" ({counted(count, 'file')})" if count else ""


def _until(case: dict[str, Any]) -> str:
    """Give the end of the payer's question as the day that it has in the zone where it was asked."""
    return datetime.fromisoformat(case["information_due_at"]).strftime("%Y-%m-%d %H:%M %Z")


def _next(case: dict[str, Any]) -> str:
    """Say what comes next. A case handed to another team has its team, and no action of ours."""
    if case["closed_reason"] == "not_our_denial":
        return f"to {_words(case['route'] or 'another team')}"
    return _words(case["recommended_action"])


def _clock(clock: dict[str, Any]) -> Iterator[str]:
    name = clock["label"] or _words(clock["kind"])
    status = _words(clock["status"])
    unconfirmed = ", policy unconfirmed" if clock["policy_status"] == "unconfirmed" else ""
    yield f"clock: {name}: {status}, {_span(clock)}{unconfirmed}"
    yield from (f"    {step}" for step in (*clock["steps"], *clock["reasons"]))
    if clock["missing_facts"] and clock["status"] not in _OVER:
        yield f"    it hangs on: {', '.join(clock['missing_facts'])} (tell it with `reprieve cases fact`)"


def _span(clock: dict[str, Any]) -> str:
    """Give a clock's end as the payer's own day: instants of a decision carry the payer's offset."""
    certain, earliest, latest = (
        at and datetime.fromisoformat(at).astimezone(ZoneInfo(clock["zone"])).date()
        for at in (clock["deadline_at"], clock["earliest"], clock["latest"])
    )
    if certain:
        ends = str(certain)
    elif earliest and latest:
        ends = f"{earliest} to {latest}"
    elif earliest or latest:
        ends = f"{earliest} at the earliest" if earliest else f"{latest} at the latest"
    else:
        return "no date"
    return ends if clock["status"] in _OVER else f"{ends}{_left(clock['days_left'])}"


def _happened(entry: dict[str, Any]) -> str:
    told = entry[entry["kind"]]
    match entry["kind"]:
        case "remittance":
            paid = f"paid ${Decimal(told['paid_amount']):,.2f}"
            return f"remittance of {told['payer_date']}: {told['saw']}, {paid}"
        case "decision":
            return f"decision {told['decision_revision']}: {_words(told['category'])}"
        case "step":
            kind = told["kind"]
            said = [
                _said(value, ours=name in _OURS or (kind, name) in _OURS)
                for name, value in told["told"].items()
                if name not in _UNSAID and value
            ]
            return f"{told['made_role']}: {_words(kind)}{': ' if said else ''}{', '.join(said)}"
        case _:
            return f"fact: {_words(told['kind'])} {told['value']} ({told['state']})"


_VOCABULARY = re.compile("[a-z0-9]+(_[a-z0-9]+)+")
_OVER = frozenset({"expired", "not_permitted"})
_OURS = frozenset(
    {"request", "channel", ("determine", "outcome"), ("peer_to_peer", "outcome"), ("close", "reason")}
)
"""What of a step is a word of the vocabulary, and never a person's own."""
_UNSAID = frozenset({"level", "zone", "follow_up_on", "next_on", "sha256"})


def _said(value: Any, *, ours: bool) -> str:
    """Say what a step tells; a number or a name that somebody wrote stays as it was written."""
    if isinstance(value, list):
        return ", ".join(value)
    return _words(value) if ours else str(value)


def _difference(decision: dict[str, Any]) -> Iterator[str]:
    """Say why there was a new decision, and what is different now."""
    yield from (f"    because {one['said']}" for one in decision["because"])
    for one in decision["changes"]:
        field = one["field"].removeprefix("clocks.").replace(".", ", ")
        before, after = (_plain(_day_of(one[side]) or "none") for side in ("before", "after"))
        yield f"    {_words(field)}: {before} → {after}"


def _plain(text: str) -> str:
    """Say a word of the vocabulary as people do; leave other texts as they are."""
    return _words(text) if _VOCABULARY.fullmatch(text) else text


def _day_of(text: str | None) -> str | None:
    """Leave the payer's own day of the instants in a text."""
    return text and re.sub(r"(\d{4}-\d\d-\d\d)T\S+", r"\1", text)


def _deadline(on: str | None, days_left: int | None) -> str:
    return "no date" if on is None else f"{on}{_left(days_left, before=chr(10))}"


def _left(days: int | None, *, before: str = ", ") -> str:
    if days is None:
        return ""
    return before + ("today" if days == 0 else "1 day left" if days == 1 else f"{days} days left")


def _words(name: str) -> str:
    return name.replace("_", " ")
