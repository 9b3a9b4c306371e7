"""What ingest did not finish, as tables for people: ids, ages and sums only."""

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.reconcile.conclusion import money
from services.reconcile.files import FileVerdict, Held
from services.reconcile.tally import Comparison
from shared.terminal import counted

ROWS_SHOWN_MAX = 20

_FILES: dict[FileVerdict, tuple[str, str]] = {
    "given_up": (
        "Files given up, because the reader failed on them",
        (
            "What it could not read is in no sum above. The place is in ingest-worker's log; mend it, "
            "then `reprieve push` the same files again."
        ),
    ),
    "stuck": (
        "Files waiting or being read for more than two minutes",
        "Is ingest-worker running? Its /readyz and its log tell. A very large file takes longer.",
    ),
    "being_read": (
        "Files waiting or being read",
        "Look again in a moment, or use a longer `--wait SECONDS`.",
    ),
}


def unfinished(comparison: Comparison) -> Iterable[RenderableType]:
    """Show the files that are not read, each with its receipt, and what is held."""
    yield from _files(comparison)
    if comparison.held.sets:
        yield _held(comparison.held)


def _files(comparison: Comparison) -> Iterable[Table]:
    for verdict, (title, remedy) in _FILES.items():
        if comparison.file_verdicts[verdict]:
            table = Table(
                title=f"{title}: {comparison.file_verdicts[verdict]:,}. {remedy}",
                title_justify="left",
                title_style="bold",
            )
            for heading in ("received at", "receipt", "submitter", "status"):
                table.add_column(heading, overflow="fold")
            findings = [one for one in comparison.files if one.verdict == verdict]
            for one in findings[:ROWS_SHOWN_MAX]:
                received_at = f"{one.received_at:%Y-%m-%d %H:%M:%S %Z}"
                table.add_row(received_at, str(one.receipt_id), str(one.submitter_id), one.status)
            if len(findings) > ROWS_SHOWN_MAX:
                table.add_row("…", "`--format json` lists more of them", "", "")
            yield table


def _held(held: Held) -> Text:
    return Text(
        f"Held, in no sum above: {counted(held.claims, 'claim')} ({money(held.charged)} charged) in "
        f"{counted(held.sets, 'transaction set')} of {counted(held.files, 'file')}, whose payee no "
        "organization registered. `reprieve orgs payee add ORGANIZATION NPI` releases them; "
        "`GET /v1/held` lists the payees.",
        style="bold",
    )
