"""The last line of a reconciliation: what it proves, and what it does not."""

from decimal import Decimal

from rich.text import Text

from services.reconcile.tally import Comparison
from shared.terminal import counted


def conclusion(comparison: Comparison) -> Text:
    """Say in one line whether everything arrived."""
    total = comparison.total
    sums = (
        f"{counted(total.read.count, 'claim')} read ({money(total.read.charged)}), "
        f"{counted(total.events.count, 'event')} ({money(total.events.denied)} denied), "
        f"{total.decided.count:,} decided, {total.recorded.count:,} in the ledger"
    )
    verdict, style = _verdict(comparison)
    return Text(f"{verdict}: {sums}.{_beside(comparison)}", style=style)


def _verdict(comparison: Comparison) -> tuple[str, str]:
    unread = comparison.file_verdicts["given_up"] + comparison.file_verdicts["stuck"]
    if comparison.agrees() and comparison.is_whole():
        return "Everything agrees to the cent", "green"
    if comparison.agrees():
        return "What was released agrees to the cent", "yellow"
    if comparison.differs() or comparison.verdicts["overdue"]:
        return "This does not agree", "bold red"
    if unread:
        return "Not every file was read", "bold red"
    return "Nothing is lost, but not everything has arrived", "yellow"


def _beside(comparison: Comparison) -> str:
    """Name what came and is in no sum, so that agreement is never taken for more than it is."""
    files, held, total = comparison.file_verdicts, comparison.held, comparison.total
    beside = {
        f"{counted(files['given_up'], 'file')} given up": files["given_up"],
        f"{counted(comparison.files_coming(), 'file')} not read yet": comparison.files_coming(),
        f"{counted(held.claims, 'claim')} ({money(held.charged)}) held for an unregistered payee": held.sets,
        f"{cut_words(total.cut)}: ask for {'it' if total.cut == 1 else 'them'} again": total.cut,
        "what ingest did not finish, which only an operator's key shows": comparison.files_hidden,
    }
    named = [what for what, count in beside.items() if count]
    return f" Beside that: {'; '.join(named)}." if named else ""


def cut_words(count: int) -> str:
    """Write how many remittances ended too early."""
    return "1 remittance was cut" if count == 1 else f"{count:,} remittances were cut"


def money(amount: Decimal) -> str:
    """Write dollars to the cent; an amount with a finer part keeps it, so that nothing is rounded away."""
    places = max(2, -int(amount.as_tuple().exponent))
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{places}f}"
