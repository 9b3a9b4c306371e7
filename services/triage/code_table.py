"""`reprieve codes`, and docs/classification.md: the one table of what codes mean, printed."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from services.triage.domain.actions import ACTION_WORDS
from services.triage.domain.code_lists import CARC_DATES, CARC_DEACTIVATED, CARC_GROUPS, CARC_SUCCESSORS
from services.triage.domain.codes import carc_status, rarc_status
from services.triage.domain.cues import CUES
from services.triage.domain.meanings import (
    CARC_MEANINGS,
    GROUPS,
    RARC_MEANINGS,
    RARC_ROUTING,
    RARC_SUPPORTING,
    Meaning,
)
from shared.contracts.decision import Category, Route

FINDINGS = 1
_UNREAD = Meaning(
    category="unclear",
    why="Retired, and read by no rule: ask the payer for a current code. A person must look.",
    action="review_by_hand",
    strength="none",
    confidence=0.2,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRow:
    """One code, and what Reprieve makes of it. `kind` names its list, or a remark's part in a decision."""

    kind: str
    code: str
    status: str = "current"
    since: date | None = None
    until: date | None = None
    groups: tuple[str, ...] = ()
    category: Category | None = None
    route: Route | None = None
    strength: str = ""
    action: str = ""
    why: str = ""
    successor: str = ""


def codes(
    only: Annotated[
        list[str] | None, typer.Argument(metavar="[CODE]...", help="Only these: CO-197, 197, N351, MA130.")
    ] = None,
    category: Annotated[str | None, typer.Option(help="Only codes of this category, or route.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DATE", help="The status on this day, not today's.")
    ] = None,
    format: Annotated[  # noqa: A002  the option's name
        Literal["table", "json", "markdown"],
        typer.Option(help="table for people; JSON lines; markdown as in the docs."),
    ] = "table",
) -> None:
    """Print the table that says what each group, reason and remark code means to a biller."""
    if format == "markdown":
        typer.echo(classification_page(), nl=False)
        return
    rows = list(_chosen(all_rows(_day(as_of)), only or [], category))
    if format == "json":
        for row in rows:
            typer.echo(msgspec.json.encode(asdict(row)).decode())
    else:
        _print(rows)
    if not rows:
        typer.echo("No code of that name or category is in the table: it is `unclear`.", err=True)
        raise typer.Exit(FINDINGS)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write it like 2026-11-21.") from None


def _chosen(rows: Iterable[CodeRow], only: Sequence[str], category: str | None) -> Iterator[CodeRow]:
    wanted = {part for text in only for part in text.strip().upper().split("-")}
    for row in rows:
        if wanted and row.code not in wanted:
            continue
        if category is None or category.replace("-", "_") in {row.category, row.route}:
            yield row


def all_rows(on: date | None = None) -> Iterator[CodeRow]:
    """Give every code that the table knows, groups first, with its status on a day."""
    yield from _groups()
    yield from _reasons(on)
    for code, meaning in RARC_MEANINGS.items():
        yield _row("remark that defines", code, rarc_status(code), meaning)
    for code, words in RARC_SUPPORTING.items():
        yield CodeRow(kind="remark that supports", code=code, status=rarc_status(code), why=_sentence(words))
    for code, routing in RARC_ROUTING.items():
        yield CodeRow(
            kind="remark that routes",
            code=code,
            status=rarc_status(code),
            category="not_authorization",
            route=routing.route,
            strength="beside a code that needs a remark",
            action=routing.action,
            why=routing.why,
        )
    for code, words in CUES.items():
        yield CodeRow(
            kind="cue", code=code, status=rarc_status(code), why=_sentence(words.partition(": ")[2])
        )


def _groups() -> Iterator[CodeRow]:
    for code, group in GROUPS.items():
        yield CodeRow(kind="group", code=code, why=f"{group.why} {group.billing}.")


def _reasons(on: date | None) -> Iterator[CodeRow]:
    for code, meaning in CARC_MEANINGS.items():
        yield _row("reason", code, carc_status(code, on), meaning)
    for code in sorted(CARC_DEACTIVATED.difference(CARC_MEANINGS)):
        yield _row("reason", code, carc_status(code, on), _UNREAD)


def _row(kind: str, code: str, status: str, meaning: Meaning) -> CodeRow:
    since, until = CARC_DATES.get(code, (None, None)) if kind == "reason" else (None, None)
    reason = kind == "reason"
    return CodeRow(
        kind=kind,
        code=code,
        status=status.replace("_", " "),
        since=since,
        until=until,
        groups=CARC_GROUPS.get(code, ()) if reason else (),
        category=meaning.category,
        route=meaning.route,
        strength=_strength(meaning),
        action=meaning.action,
        why=meaning.why if meaning.human is None else f"{meaning.why} A person must look.",
        successor=CARC_SUCCESSORS.get(code, "") if reason else "",
    )


def _strength(meaning: Meaning) -> str:
    strength = str(meaning.strength).replace("_", " ")
    if meaning.refinable and meaning.strength != "needs_remark":
        strength += "; remark refines"
    if meaning.refined_by:
        strength += f"; {' '.join(meaning.refined_by)} refines"
    return f"{strength}; falls with others" if meaning.depends else strength


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


# -- printing -----------------------------------------------------------------------------------------------

_Column = tuple[str, Callable[[CodeRow], str]]


def _status(row: CodeRow) -> str:
    dates = [f"from {row.since}"] if row.since else []
    dates += [f"until {row.until}"] if row.until else []
    dates += [f"now {row.successor}"] if row.successor else []
    return f"{row.status} ({', '.join(dates)})" if dates else row.status


def _in_short(row: CodeRow) -> str:
    return "\n".join(filter(None, (row.route or row.category, row.action))).replace("_", " ")


_CODE: _Column = ("Code", lambda row: row.code)
_STATUS: _Column = ("Status", _status)
_WHY: _Column = ("Says", lambda row: row.why)
_MEANING: tuple[_Column, ...] = (
    ("Category", lambda row: row.category or ""),
    ("Route", lambda row: row.route or ""),
    ("Strength", lambda row: row.strength),
    ("Action", lambda row: row.action),
)
_GROUPS: _Column = ("Groups", lambda row: " ".join(row.groups) or "any")
_SHORT: _Column = ("Means", _in_short)
"""For the terminal, where eight columns do not fit."""
_SECTIONS: tuple[tuple[str, str, tuple[_Column, ...]], ...] = (
    ("group", "Group codes (CAS01)", (_CODE, _WHY)),
    ("reason", "Reason codes (CARC)", (_CODE, _STATUS, _GROUPS, *_MEANING, _WHY)),
    (
        "remark that defines",
        "Remarks that define an authorization problem (RARC)",
        (_CODE, _STATUS, *_MEANING, _WHY),
    ),
    ("remark that supports", "Remarks that only support (RARC)", (_CODE, _STATUS, _WHY)),
    (
        "remark that routes",
        "Remarks that route a code that needs one (RARC)",
        (_CODE, _STATUS, _MEANING[1], _MEANING[3], _WHY),
    ),
    (
        "cue",
        "Remarks that inform about appeals, liability and history, mostly Alerts (RARC)",
        (_CODE, _STATUS, _WHY),
    ),
)


def _print(rows: Sequence[CodeRow]) -> None:
    console = Console()
    for kind, title, columns in _SECTIONS:
        mine = [row for row in rows if row.kind == kind]
        if not mine:
            continue
        table = Table(title=title, title_justify="left", expand=True)
        shown = [column for column in columns if column not in _MEANING]
        shown[2:2] = [_SHORT] if len(shown) < len(columns) else []
        for name, _ in shown:
            table.add_column(name, overflow="fold")
        for row in mine:
            table.add_row(*(text(row) for _, text in shown))
        console.print(table)


def classification_page() -> str:
    """Write docs/classification.md; a test keeps the page and the table the same."""
    rows = list(all_rows())
    parts = [_PREFACE]
    for kind, title, columns in _SECTIONS:
        parts.append(f"\n## {title}\n\n| {' | '.join(name for name, _ in columns)} |\n")
        parts.append(f"|{'---|' * len(columns)}\n")
        mine = (row for row in rows if row.kind == kind)
        parts += [f"| {' | '.join(text(row) for _, text in columns)} |\n" for row in mine]
    actions = "".join(f"| {action} | {words} |\n" for action, words in ACTION_WORDS.items())
    parts.append(f"\n## Actions\n\n| Action | Says |\n|---|---|\n{actions}")
    return re.sub(" +\n", "\n", "".join(parts))


_PREFACE = """# What the codes mean

Printed by `reprieve codes --format markdown` from `services/triage/domain/meanings.py` and the two files
beside it: change those tables, not this page. `reprieve codes 197 N351`, `--category
authorization_expired`, `--as-of 2012-12-31` and `--format json` print parts of it. The words are ours; the
official wording belongs to X12.

## How they combine

One decision per claim, one item per denied adjustment. Each item is read in this order:

1. No reason code, or 45 for the whole charge: `unclear`.
2. A remark that defines an authorization problem, beside a code marked "remark refines" or one that needs a
   remark: the remark decides.
3. A code that needs a remark is never read alone, and an Alert never explains: a remark of the table below
   routes it; another published remark leaves it its usual route (strength `supporting`); without one it is
   `unclear`.
4. Any other code: its own row. A code that is in no row is `unclear`, in the open. The word "authorization"
   is never looked for.

- **Date.** A code is read as of the remittance's date. A retired code is read as payers used it, with a
  note that names its successors; a code that had not begun on that day keeps its row and wants a person.
- **Group.** It says who bears the amount, not what the problem is. PR turns the action into
  `review_patient_billing`. A group that the code list does not allow with the code is noted.
- **302 alone** is `authorization_expired` and wants a person: it may mean that the limit for asking had run
  out.
- **97 and B15** beside a line that failed for authorization are its dependents: their money is at stake
  too.
- **Several kinds on one claim.** Authorization leads, whatever the amounts; among several kinds, the one
  with the most money, and a person must look. What is denied for other reasons is left out of
  `amount_at_stake`, and told.
- **A number echoed** in REF G1 or BB beside an absent or invalid authorization changes the action to
  `check_authorization_on_file`: check its dates, codes, units and provider; if they match, reconsideration;
  else amend.
- **A number that a person found** leads to a corrected claim (reconsideration where the payer echoes one)
  after an absent, invalid, expired or unfitting authorization; it cures no used-up units, no refusal, no
  lateness and no missing referral. Neither number opens a window again: once all have closed, it is
  `review_write_off`.
- **`confidence`** starts from the row's (0.95 for a precise code, 0.9 for most remarks and look-alikes, 0.6
  for 302, 0.2 for what is unclear) and is multiplied for authorization by the policy's (confirmed 1,
  unconfirmed 0.9, default 0.75, ambiguous 0.6), and by 0.9 where the claim's amounts do not add up.
- **`needs_human`** always comes with its reasons.

## Who may be billed

CO and PI never lead to a bill. PR on an authorization denial leads to `review_patient_billing`: the bill is
held, the way that may spare it goes on with its own date, and the explanation says what to look for: whether
the provider was in the network (then it had to get the authorization, and the contract as a rule forbids the
bill), what the patient signed before the service, whether it was an emergency, TRICARE (holds the patient
harmless), Medicaid (42 CFR 447.15), and the remarks that shield the patient. Groups that differ bill nobody.

## Priority

`priority` runs from 0 to 100: money + time + chance. Its inputs stand in the last line of every explanation.

- **Money**, up to 40: 40 × log10(1 + amount/100) / log10(501), so $500 weighs 12, $5,000 25, $50,000 and
  more 40.
- **Time**, up to 40: 40 on the day to act by (the deadline, or the earliest end of a range), falling evenly
  to 5 at 60 days before it and more. Past the earliest end of a range each day makes it likelier that the
  window is shut, by odds that nobody knows: it falls evenly from 40 to 15 on the last day of the latest end
  (15 + 25 × days still ahead / days of the range). The heaviest open clock counts; 15 where none has a known
  end; 0 where every way has closed.
- **Chance**, up to 20: 20 × the weight of the way × `confidence`. The weights are ours, to put ways in
  order; nobody measured them: 0.9 an authorization is on file, 0.8 the payer permits the way or
  its rule asks for none, 0.6 whether it permits it is not known, 0.5 a dispute or another team's work, 0.4 a
  dispute without a known limit, 0.1 every way has closed.
- What is not about authorization keeps a quarter of its sum: it is another team's work.
"""
