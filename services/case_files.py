"""`reprieve cases attach`, `files`, `download`, `remove-file`: the papers of a case, at a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.case_steps import As, Case, DataDir, Role, make_step
from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem
from shared.http.dispositions import attachment, file_name_in
from shared.terminal import escape, print_table

files = typer.Typer()

_KINDS = {
    ".pdf": "application/pdf",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".txt": "text/plain",
}
_BLOCK_BYTES = 256 * 1024
File = Annotated[UUID, typer.Argument(metavar="FILE", help="The file, as `reprieve cases files` names it.")]


@files.command("attach")
def attach(
    case_id: Case,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=", ".join(_KINDS))],
    *,
    document: Annotated[
        list[str] | None,
        typer.Option(help="A paper of the list that it is, as `cases show` names it; may be repeated."),
    ] = None,
    as_: As = Role.biller,
    data_dir: DataDir = None,
) -> None:
    """Attach a file to a case. It is sealed; the same file again is the same."""
    kind = _KINDS.get(file.suffix.lower())
    if kind is None:
        raise InvalidInputError(
            "Files of this kind are not taken.", remedy=f"Their names end in {', '.join(_KINDS)}."
        )
    headers = {
        "Content-Type": kind,
        "Content-Disposition": attachment(file.name.replace('"', "").replace("\\", "")),
        "Content-Length": str(file.stat().st_size),
    }
    with Stack.find(data_dir).client("tracker", as_) as tracker:
        answer = tracker.post(
            f"/v1/cases/{case_id}/files",
            params={"document": document or []},
            content=_blocks(file),
            headers=headers,
        )
        attached = raise_for_problem(answer).json()["file"]
    typer.echo(
        f"{'Attached as' if answer.status_code == 201 else 'It is there already:'} {attached['file_id']}."
    )


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            yield block


@files.command("files")
def list_files(
    case_id: Case,
    *,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="With their names; the opening is audited.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """List the files of a case."""
    with Stack.find(data_dir).client("tracker", "biller") as tracker:
        answer = tracker.get(f"/v1/cases/{case_id}/files", params={"reveal": reveal})
        found = raise_for_problem(answer).json()["data"]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("File, name, kind", min_width=36)  # an id stays whole, for `download`
    table.add_column("Papers")
    table.add_column("Bytes", justify="right", no_wrap=True)
    for one in found:
        table.add_row(
            escape("\n".join((one["file_id"], one["name"] or _gone(one), one["media_type"]))),
            escape("\n".join(one["documents"])),
            f"{one['size_bytes']:,}",
        )
    print_table(table)


def _gone(file: dict[str, Any]) -> str:
    return f"removed on {file['removed_at'][:10]}" if file["removed_at"] else "purged"


@files.command("download")
def download(
    case_id: Case,
    file_id: File,
    *,
    to: Annotated[
        Path | None, typer.Option(help="Where to write it; left out, its own name in this folder.")
    ] = None,
    as_: As = Role.biller,
    data_dir: DataDir = None,
) -> None:
    """Write a file of a case to this machine; the opening is audited."""
    with (
        Stack.find(data_dir).client("tracker", as_) as tracker,
        tracker.stream("GET", f"/v1/cases/{case_id}/files/{file_id}/content") as answer,
    ):
        raise_for_problem(answer)
        named = file_name_in(answer.headers["content-disposition"])
        place = to or Path(Path(named or "document").name)
        if to is None and place.exists():
            raise InvalidInputError(f"{place} is there already.", remedy="Name another with --to.")
        part = place.with_name(f"{place.name}.part")  # a cut file must never pass for a whole one
        with part.open("wb") as written:
            for block in answer.iter_bytes():
                written.write(block)
    part.replace(place)
    typer.echo(f"Wrote {place}.")


@files.command("remove-file")
def remove(
    case_id: Case,
    file_id: File,
    reason: Annotated[str, typer.Argument(help="Why it does not belong there.")],
    *,
    as_: As = Role.biller,
    data_dir: DataDir = None,
) -> None:
    """
    Take a file away: its content and name are destroyed, and nothing brings them back.

    That it was there, and who removed it, stays. One that went to the payer takes a supervisor (--as).
    """
    make_step(
        case_id, {"kind": "file_removed", "file_id": str(file_id), "reason": reason}, data_dir, role=as_
    )
