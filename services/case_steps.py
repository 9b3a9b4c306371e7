"""
`reprieve cases prepare`, `submit` … `close`: what was done about a case, said at a terminal.

Each command is one step of `POST /v1/cases/{case_id}/steps`; docs/lifecycle.md says where it leads.
"""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from shared import clock
from shared.http.client import Stack, raise_for_problem

steps = typer.Typer()


class Request(StrEnum):
    """What is asked of the payer."""

    retro_authorization = "retro_authorization"
    authorization_correction = "authorization_correction"
    referral = "referral"
    notification = "notification"
    reconsideration = "reconsideration"
    appeal = "appeal"
    peer_to_peer = "peer_to_peer"


class Channel(StrEnum):
    """How it goes there."""

    portal = "portal"
    phone = "phone"
    fax = "fax"
    mail = "mail"
    email = "email"
    edi_278 = "edi_278"
    edi_837 = "edi_837"
    other = "other"


class Outcome(StrEnum):
    """What the payer answered."""

    approved = "approved"
    partly_approved = "partly_approved"
    denied = "denied"


class Talk(StrEnum):
    """Where a talk between physicians stands."""

    scheduled = "scheduled"
    approved = "approved"
    partly_approved = "partly_approved"
    denied = "denied"


class Reason(StrEnum):
    """Why a case is over."""

    recovered = "recovered"
    not_permitted = "not_permitted"
    expired = "expired"
    duplicate = "duplicate"
    not_our_denial = "not_our_denial"
    written_off = "written_off"
    not_worth_pursuing = "not_worth_pursuing"


class Role(StrEnum):
    """Whose key is used, of those that `reprieve up` made."""

    biller = "biller"
    supervisor = "supervisor"
    admin = "admin"


_DAY = ["%Y-%m-%d"]
Case = Annotated[UUID, typer.Argument(metavar="CASE", help="The case, as `reprieve cases list` names it.")]
What = Annotated[Request, typer.Argument(metavar="REQUEST", help=", ".join(Request))]
Level = Annotated[int, typer.Option(min=1, max=9, help="Of an appeal.")]
On = Annotated[datetime | None, typer.Option(formats=_DAY, help="The day it happened; today if left out.")]
Later = Annotated[datetime | None, typer.Option(formats=_DAY, help="When to ask the payer again.")]
Reference = Annotated[str | None, typer.Option(help="The payer's reference number.")]
Sent = Annotated[
    list[UUID] | None,
    typer.Option("--file", help="A file of the case that went along (`cases files`); may be repeated."),
]
Note = Annotated[str | None, typer.Option(help="Your own words.")]
As = Annotated[Role, typer.Option("--as", help="Whose key to use.")]
DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]


@steps.command("prepare")
def prepare(
    case_id: Case, request: What, *, level: Level = 1, note: Note = None, data_dir: DataDir = None
) -> None:
    """
    Begin to put a request together: the case is in preparation.

    Next comes `submit`, once the papers that `reprieve cases show` lists are there.
    """
    make_step(case_id, {"kind": "prepare", "request": request, "level": level, "note": note}, data_dir)


@steps.command("submit")
def submit(
    case_id: Case,
    request: What,
    *,
    channel: Annotated[Channel, typer.Option(help="How it went out.")],
    level: Level = 1,
    on: On = None,
    reference: Reference = None,
    sent: Annotated[str | None, typer.Option(help="What went along.")] = None,
    file: Sent = None,
    follow_up_on: Later = None,
    again_because: Annotated[
        str | None, typer.Option(help="Why the same goes out a second time; without it that is refused.")
    ] = None,
    note: Note = None,
    data_dir: DataDir = None,
) -> None:
    """
    Say that a request went to the payer. Its clock is met, and the day to ask again is set by itself.

    Next comes `asked` or `determine`, whatever the payer does, or `follow-up` when the day has come.
    """
    step = {
        "kind": "submit",
        "request": request,
        "level": level,
        "on": _day(on),
        "channel": channel,
        "reference": reference,
        "sent": sent,
        "files": [str(one) for one in file] if file else None,
        "follow_up_on": follow_up_on and _day(follow_up_on),
        "duplicate_reason": again_because,
        "note": note,
    }
    make_step(case_id, step, data_dir)


@steps.command("asked")
def asked(
    case_id: Case,
    request: What,
    what: Annotated[str, typer.Argument(help="What the payer wants to know.")],
    *,
    due_on: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Its last day for an answer, where the payer is.")
    ] = None,
    level: Level = 1,
    on: On = None,
    data_dir: DataDir = None,
) -> None:
    """Say that the payer asked for more before it decides. Answer with `answered` before the day is over."""
    step = {
        "kind": "information_requested",
        "request": request,
        "level": level,
        "on": _day(on),
        "what": what,
        "due_on": due_on and _day(due_on),
    }
    make_step(case_id, step, data_dir)


@steps.command("answered")
def answered(
    case_id: Case,
    request: What,
    *,
    channel: Annotated[Channel, typer.Option(help="How it went out.")],
    sent: Annotated[str | None, typer.Option(help="What went out.")] = None,
    file: Sent = None,
    level: Level = 1,
    on: On = None,
    reference: Reference = None,
    data_dir: DataDir = None,
) -> None:
    """Say that the payer has what it asked for: the request waits for its answer again."""
    step = {
        "kind": "information_sent",
        "request": request,
        "level": level,
        "on": _day(on),
        "channel": channel,
        "sent": sent,
        "files": [str(one) for one in file] if file else None,
        "reference": reference,
    }
    make_step(case_id, step, data_dir)


@steps.command("peer-to-peer")
def peer_to_peer(
    case_id: Case,
    outcome: Annotated[Talk, typer.Argument(help=", ".join(Talk))],
    *,
    on: On = None,
    reference: Reference = None,
    note: Note = None,
    data_dir: DataDir = None,
) -> None:
    """Say that a talk between physicians is arranged for a day, or was held and what came of it."""
    step = {"kind": "peer_to_peer", "outcome": outcome, "on": _day(on), "reference": reference, "note": note}
    make_step(case_id, step, data_dir)


@steps.command("determine")
def determine(
    case_id: Case,
    request: What,
    outcome: Annotated[Outcome, typer.Argument(help=", ".join(Outcome))],
    *,
    authorization_number: Annotated[str | None, typer.Option(help="What the payer gave.")] = None,
    valid_from: Annotated[datetime | None, typer.Option(formats=_DAY, help="First day authorized.")] = None,
    valid_to: Annotated[datetime | None, typer.Option(formats=_DAY, help="Last day authorized.")] = None,
    units: Annotated[str | None, typer.Option(help="Units or visits authorized.")] = None,
    reason: Annotated[str | None, typer.Option(help="The payer's reason.")] = None,
    level: Level = 1,
    on: On = None,
    data_dir: DataDir = None,
) -> None:
    """
    Say what the payer answered.

    Approved is not paid: send the claim again (`corrected-claim`); the case closes itself when a remittance
    pays. After a denial the next way is another request, such as an appeal.
    """
    step = {
        "kind": "determine",
        "request": request,
        "level": level,
        "outcome": outcome,
        "on": _day(on),
        "authorization_number": authorization_number,
        "valid_from": valid_from and _day(valid_from),
        "valid_to": valid_to and _day(valid_to),
        "units": units,
        "reason": reason,
    }
    make_step(case_id, step, data_dir)


@steps.command("withdraw")
def withdraw(
    case_id: Case,
    request: What,
    reason: Annotated[str, typer.Argument(help="Why it is not followed up.")],
    *,
    level: Level = 1,
    data_dir: DataDir = None,
) -> None:
    """Give a request up. The case stands where it would without it."""
    make_step(case_id, {"kind": "withdraw", "request": request, "level": level, "reason": reason}, data_dir)


@steps.command("corrected-claim")
def corrected_claim(
    case_id: Case,
    *,
    frequency: Annotated[str, typer.Option(help="CLM05-3: 7 replaces, 8 voids, 1 is new.")] = "7",
    channel: Annotated[Channel, typer.Option(help="How it went out.")] = Channel.edi_837,
    on: On = None,
    reference: Reference = None,
    follow_up_on: Later = None,
    note: Note = None,
    data_dir: DataDir = None,
) -> None:
    """Say that the claim went out again. The case closes itself when a remittance pays it."""
    step = {
        "kind": "corrected_claim_sent",
        "on": _day(on),
        "frequency_code": frequency,
        "channel": channel,
        "reference": reference,
        "follow_up_on": follow_up_on and _day(follow_up_on),
        "note": note,
    }
    make_step(case_id, step, data_dir)


@steps.command("follow-up")
def follow_up(
    case_id: Case,
    outcome: Annotated[
        str | None, typer.Argument(help="What the payer said; left out, `--next-on` only plans.")
    ] = None,
    *,
    on: On = None,
    next_on: Later = None,
    data_dir: DataDir = None,
) -> None:
    """Say that you asked the payer and what it said, or plan with --next-on alone when to ask."""
    if outcome is None and next_on is None:
        raise typer.BadParameter("say what the payer said, or plan with --next-on")
    if outcome is None:
        step: dict[str, str | None] = {"kind": "follow_up_scheduled", "on": _day(next_on)}
    else:
        step = {
            "kind": "follow_up_done",
            "on": _day(on),
            "outcome": outcome,
            "next_on": _day(next_on) if next_on else None,
        }
    make_step(case_id, step, data_dir)


@steps.command("note")
def note_down(
    case_id: Case,
    words: Annotated[str, typer.Argument(help="At most 2000 characters.")],
    data_dir: DataDir = None,
) -> None:
    """Keep a note in the case's timeline."""
    make_step(case_id, {"kind": "note", "note": words}, data_dir)


@steps.command("tag")
def tag(
    case_id: Case,
    word: Annotated[str, typer.Argument(metavar="TAG", help="Small letters, digits, - and _.")],
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take it away.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Put a tag on a case, or take it away."""
    make_step(case_id, {"kind": "untag" if remove else "tag", "tag": word}, data_dir)


@steps.command("assign")
def assign(
    case_id: Case,
    to: Annotated[
        UUID | None, typer.Argument(metavar="PRINCIPAL", help="Who; left out, it is nobody's again.")
    ] = None,
    *,
    as_: As = Role.supervisor,
    data_dir: DataDir = None,
) -> None:
    """Give a case to somebody who works here, by their principal id."""
    step = {"kind": "unassign"} if to is None else {"kind": "assign", "assignee_id": str(to)}
    make_step(case_id, step, data_dir, role=as_)


@steps.command("document")
def document(
    case_id: Case,
    name: Annotated[str, typer.Argument(help="As `reprieve cases show` names it.")],
    *,
    missing: Annotated[bool, typer.Option("--missing", help="It is not there after all.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Check a paper of the list, or take the check away."""
    kind = "document_unchecked" if missing else "document_checked"
    make_step(case_id, {"kind": kind, "document": name}, data_dir)


@steps.command("close")
def close(
    case_id: Case,
    reason: Annotated[Reason, typer.Argument(help=", ".join(Reason))],
    *,
    note: Note = None,
    as_: As = Role.biller,
    data_dir: DataDir = None,
) -> None:
    """
    Close a case for a reason. A new denial, payment or reversal opens or moves it again by itself.

    What ends in no money (written_off, not_worth_pursuing) takes a supervisor (--as supervisor) and --note.
    """
    make_step(case_id, {"kind": "close", "reason": reason, "note": note}, data_dir, role=as_)


@steps.command("reopen")
def reopen(
    case_id: Case, note: Annotated[str, typer.Argument(help="Why.")], *, data_dir: DataDir = None
) -> None:
    """Open a case again: it stands where it stood before, and its clocks matter."""
    make_step(case_id, {"kind": "reopen", "note": note}, data_dir)


def _day(day: datetime | None) -> str:
    return (day or clock.now().astimezone()).date().isoformat()


def make_step(case_id: UUID, step: dict[str, Any], data_dir: Path | None, *, role: str = "biller") -> None:
    """Make a step, and say where the case is then."""
    told = {name: value for name, value in step.items() if value is not None}
    with Stack.find(data_dir).client("tracker", role) as tracker:
        answer = tracker.post(
            f"/v1/cases/{case_id}/steps", json=told, headers={"Idempotency-Key": str(uuid4())}
        )
        taken = raise_for_problem(answer).json()
    case = taken["case"]
    reason = f" ({_words(case['closed_reason'])})" if case["closed_reason"] else ""
    typer.echo(f"The case is {_words(case['state'])}{reason}, version {case['version']}.")
    if case["follow_up_on"]:
        typer.echo(f"Ask the payer again on {case['follow_up_on']}.")
    if case["information_due_at"]:
        due_at = datetime.fromisoformat(case["information_due_at"]).astimezone()
        typer.echo(f"The payer wants its answer by {due_at:%Y-%m-%d %H:%M %Z}.")
    typer.echo(f"Now possible: {', '.join(_words(one) for one in taken['allowed_steps'])}.")


def _words(name: str) -> str:
    return name.replace("_", " ")
