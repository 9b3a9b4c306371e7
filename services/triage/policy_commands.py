"""`reprieve policies load, diff, export, publish, retire, show`: the policies of a running stack."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.triage.domain.differences import differences
from services.triage.policies import policy_texts, texts_at
from services.triage.policy_client import PolicyClient, digest_text
from services.triage.store.publishing import read_content
from shared.errors import ConflictError, InvalidInputError, NotFoundError

FINDINGS = 1

Places = Annotated[list[Path], typer.Argument(metavar="DIR|FILE…", help="Policy files, or folders of them.")]
DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]
Installation = Annotated[
    bool, typer.Option("--installation", help="The operator's policies, for every organization.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why: timelines and the audit log say so.")]
Force = Annotated[bool, typer.Option("--force", help="Write over what others did; --reason says why.")]
PolicyId = Annotated[str, typer.Argument(metavar="POLICY", help="Its id, as `reprieve policies list` shows.")]


def load(
    places: Places,
    reason: ReasonOption,
    publish: Annotated[bool, typer.Option("--publish", help="Put them in force at once.")] = False,  # noqa: FBT002  an option
    based_on: Annotated[
        int | None, typer.Option(help="The number that the file was written from; needed over any other.")
    ] = None,
    force: Force = False,  # noqa: FBT002  an option
    installation: Installation = False,  # noqa: FBT002  an option
    data_dir: DataDir = None,
) -> None:
    """Send policy files as drafts. What is in force already, or lies there as a draft, is not sent again."""
    texts = _sound(texts_at(places))
    if based_on is not None and len({policy_id for policy_id, _ in texts}) > 1:
        raise InvalidInputError(
            "--based-on is a number of one policy, and these are several.",
            remedy="Load the files one by one.",
        )
    with PolicyClient.open(data_dir, installation=installation) as client:
        for policy_id, text in texts:
            known = client.own(policy_id)
            if any(one["status"] == "published" and one["digest"] == digest_text(text) for one in known):
                typer.echo(f"{policy_id}: in force already")
                continue
            seen = based_on
            if seen is None:
                seen = taken_up(policy_id, known, digest_text(text), force=force)
            sent = client.draft(policy_id, text, based_on=seen, reason=reason)
            typer.echo(f"{policy_id}: draft {sent['number']}")
            if publish:
                _told(client.change("publish", policy_id, sent["number"], reason=reason), "published")


def publish_policy(
    policy: PolicyId,
    reason: ReasonOption,
    number: Annotated[
        int | None,
        typer.Option("--number", "--version", help="Which draft; the only person's newest by default."),
    ] = None,
    installation: Installation = False,  # noqa: FBT002  an option
    data_dir: DataDir = None,
) -> None:
    """Put a draft in force. What it touches is decided again; the timelines of cases say so."""
    with PolicyClient.open(data_dir, installation=installation) as client:
        chosen = number or to_publish(policy, client.own(policy))
        _told(client.change("publish", policy, chosen, reason=reason), "published")


def retire_policy(
    policy: PolicyId,
    reason: ReasonOption,
    number: Annotated[
        int | None, typer.Option(help="Which version; the newest published by default.")
    ] = None,
    installation: Installation = False,  # noqa: FBT002  an option
    data_dir: DataDir = None,
) -> None:
    """Take a version out of force: what stands below it holds again."""
    with PolicyClient.open(data_dir, installation=installation) as client:
        chosen = number or _newest(policy, client.own(policy), "published")
        _told(client.change("retire", policy, chosen, reason=reason), "retired")


def show_policy(
    policy: PolicyId,
    number: Annotated[int | None, typer.Option(help="Print this version as it was written.")] = None,
    installation: Installation = False,  # noqa: FBT002  an option
    data_dir: DataDir = None,
) -> None:
    """Show the versions of a policy, who wrote them and why; with --number one of them, byte for byte."""
    with PolicyClient.open(data_dir, installation=installation, role="viewer") as client:
        if number is not None:
            typer.echo(client.content(policy, number, client.layer), nl=False)
            return
        history = client.history(policy)
    if not history:
        raise NotFoundError(f"There is no policy {policy}.", remedy="`reprieve policies list` has them.")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("whose", "number", "version", "status", "days of service", "by", "why"):
        table.add_column(column, overflow="fold")
    for one in history:
        table.add_row(
            "shipped" if one["status"] == "reference" else one["layer"],
            str(one["number"]),
            one["version"],
            one["status"],
            f"{one['effective_from'] or ''} - {one['effective_to'] or ''}".strip(" -"),
            one["retired_by"] or one["published_by"] or one["author"],
            one["retired_reason"] or one["published_reason"] or one["reason"],
        )
    Console().print(table)


def show_in_force(data_dir: Path | None) -> None:
    """Print what is in force in a running stack."""
    with PolicyClient.open(data_dir, installation=False, role="viewer") as client:
        found = client.in_force()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("policy", "payer program", "status", "whose", "number", "version", "days of service"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(
            one["id"],
            one["name"],
            one["status"],
            "shipped" if one["layer"] == "reference" else one["layer"],
            str(one["number"] or ""),
            one["version"],
            f"{one['effective_from'] or ''} - {one['effective_to'] or ''}".strip(" -"),
        )
    Console().print(table)


def diff(places: Places, data_dir: DataDir = None, installation: Installation = False) -> None:  # noqa: FBT002  an option
    """Say which fields of these files differ from what is in force. Exit status 1: some do."""
    texts = _sound(texts_at(places))
    found = 0
    with PolicyClient.open(data_dir, installation=installation, role="viewer") as client:
        in_force = client.in_force()
        for policy_id, text in texts:
            versions = [one for one in in_force if one["id"] == policy_id]
            before = _content(client, policy_id, versions)
            if before is None:
                typer.echo(f"{policy_id}: new")
                found += 1
                continue
            moved = differences(before, text)
            found += bool(moved)
            typer.echo(f"{policy_id}: {f'{len(moved)} fields differ' if moved else 'as in force'}")
            for one in moved:
                typer.echo(f"  {one.key}: {one.before or 'nothing'} → {one.after or 'nothing'}")
    if found:
        raise typer.Exit(FINDINGS)


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")],
    every: Annotated[bool, typer.Option("--all", help="The shipped ones that are in force as well.")] = False,  # noqa: FBT002  an option
    installation: Installation = False,  # noqa: FBT002  an option
    data_dir: DataDir = None,
) -> None:
    """Write what is in force as files, byte for byte as somebody wrote it."""
    with PolicyClient.open(data_dir, installation=installation, role="viewer") as client:
        wanted = [
            one for one in client.in_force() if one["number"] and (every or one["layer"] != "reference")
        ]
        folder.mkdir(parents=True, exist_ok=True)
        ids = [one["id"] for one in wanted]
        written: set[tuple[str, int]] = set()
        for one in wanted:
            if (one["id"], one["number"]) in written:  # in force before and after another one
                continue
            written.add((one["id"], one["number"]))
            name = one["id"] if ids.count(one["id"]) == 1 else f"{one['id']}-{one['number']}"
            (folder / f"{name}.toml").write_bytes(client.content(one["id"], one["number"], one["layer"]))
    typer.echo(f"{len(written)} policies in {folder}.")


def _sound(texts: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Give the files by their policies' ids; raises InvalidInputError that lists every mistake."""
    found, mistakes = [], []
    for name, text in texts.items():
        try:
            found.append((read_content(text).id, text))
        except InvalidInputError as error:
            mistakes += [(f"{name}: {key}", what) for key, what in error.errors]
    if mistakes:
        listed = "\n".join(f"  {where}: {what}" for where, what in mistakes)
        raise InvalidInputError(
            f"The policies have {len(mistakes)} mistake(s):\n{listed}",
            remedy="Mend these keys; `reprieve policies check` looks at the worked examples too.",
        )
    return found


def _content(client: PolicyClient, policy_id: str, versions: Sequence[dict[str, Any]]) -> bytes | None:
    """Give the text of what is in force; of several the last, for later days. None: no such policy."""
    if not versions:
        return None
    last = versions[-1]
    if last["number"] is not None:
        return client.content(policy_id, last["number"], last["layer"])
    shipped = {read_content(text).id: text for text in policy_texts().values()}
    return shipped.get(policy_id)


def taken_up(policy_id: str, known: Sequence[dict[str, Any]], digest: str, *, force: bool) -> int:
    """
    Give the number that a file is based on where nobody says: the newest. `known` is the newest first.

    Raises ConflictError if that holds another text: whoever wrote the file may never have read it, and its
    changes would be lost. `force`: somebody means to.
    """
    if not known:
        return 0
    newest, number = known[0], int(known[0]["number"])
    if newest["digest"] != digest and not force:
        who = newest["retired_by"] or newest["published_by"] or newest["author"]
        why = newest["retired_reason"] or newest["published_reason"] or newest["reason"]
        what = "the pending draft" if newest["status"] == "draft" else f"the {newest['status']} version"
        raise ConflictError(
            f"{policy_id} has {what} {number} by {who}: {why}. The file may be older.",
            remedy=f"Read it (`reprieve policies show {policy_id} --number {number}`), take over what it "
            f"changed, and load with --based-on {number}; or with --force, if yours is to replace it.",
        )
    return number


def to_publish(policy_id: str, known: Sequence[dict[str, Any]]) -> int:
    """Give the newest draft. Raises ConflictError if drafts of several people wait: somebody must choose."""
    published = max((one["number"] for one in known if one["status"] == "published"), default=0)
    pending = [one for one in known if one["status"] == "draft" and one["number"] > published]
    if len({one["author"] for one in pending}) > 1:
        listed = ", ".join(f"{one['number']} by {one['author']}" for one in pending)
        raise ConflictError(
            f"Drafts of several people wait for {policy_id}: {listed}.",
            remedy="Read them, and name the one to publish with --version.",
        )
    return _newest(policy_id, known, "draft")


def _newest(policy_id: str, known: Sequence[dict[str, Any]], status: str) -> int:
    for one in known:
        if one["status"] == status:
            return int(one["number"])
    raise ConflictError(
        f"No version of {policy_id} is {status}.", remedy=f"`reprieve policies show {policy_id}` has them."
    )


def _told(version: dict[str, Any], done: str) -> None:
    typer.echo(f"{version['policy_id']}: version {version['number']} ({version['version']}) is {done}")
