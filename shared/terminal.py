"""What people read. No amount and no id may be cut: half of an amount reads like another amount."""

from rich import markup
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_ANY_WIDTH = 100_000


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the singular for 1: 1 file, 1,204 files."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Replace what a terminal would obey: text of a file must not move the cursor or change colours."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def escape(text: str) -> str:
    """Let foreign text be nothing but text, for rich and for the terminal; lines stay lines."""
    return markup.escape("\n".join(map(printable, text.split("\n"))))


def print_table(table: Table) -> None:
    """
    Print a table within the screen (80 columns in a pipe); where its whole columns need more, it is wider.

    A column with no_wrap stays whole, one with min_width gets at least that; the others fold.
    """
    console = Console()
    if _measured(table, console).maximum > console.width:
        for column in table.columns:
            # rich applies min_width after it has shrunk the table, and crops what then goes over the edge.
            column.width = column.min_width
            column.overflow = "fold"
    console.width = max(console.width, _measured(table, console).minimum)
    console.print(table)


def _measured(table: Table, console: Console) -> Measurement:
    return Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table)
