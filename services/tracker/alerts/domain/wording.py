"""How facts of a notification read in plain text. Channels escape what they need to escape."""

from datetime import date
from decimal import Decimal

from services.tracker.alerts.domain.content import Content, Kind, Line, Severity

_PREFIX: dict[Kind, str] = {
    "firing": "",
    "update": "",
    "resolved": "Resolved: ",
    "digest": "",
    "test": "Test: ",
}


def headline(content: Content, kind: Kind, severity: Severity) -> str:
    """Say in one line what it is about, with the severity where it is pressing."""
    pressing = f"[{severity}] " if severity in ("critical", "error") and kind in ("firing", "update") else ""
    return f"{pressing}{_PREFIX[kind]}{one_line(content.title)}"


def describe(line: Line) -> str:
    """Write a line: what it is, payer, category, dollars, the time left; the case's id unless linked."""
    parts = (
        None if line.label is None else one_line(line.label),
        None if line.payer is None else one_line(line.payer),
        None if line.category is None else line.category.replace("_", " "),
        None if line.amount is None else dollars(line.amount),
        time_left(line.days_left, line.deadline_on, line.zone),
        None if line.case_id is None or link_of(line.link) else f"case {line.case_id}",
    )
    return " · ".join(one for one in parts if one) or "case"


def time_left(days: int | None, on: date | None, zone: str | None) -> str | None:
    """Write `3 days left (by 2026-04-02, America/Chicago)`, as far as it is known."""
    if days is None and on is None:
        return None
    left = None if days is None else days_left(days)
    until = None if on is None else ", ".join(one for one in (f"by {on.isoformat()}", zone) if one)
    return f"{left} ({until})" if left and until else left or until


def days_left(days: int) -> str:
    """Write `3 days left`, or `today`."""
    return "today" if days == 0 else f"{days} {'day' if days == 1 else 'days'} left"


def dollars(amount: Decimal) -> str:
    """Write `$1,240.00`."""
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def one_line(text: str) -> str:
    """Keep line breaks and control characters of foreign words out of headers and headings."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def cut(text: str, characters: int) -> str:
    """Shorten a text to so many characters, and show that it was."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def not_shown(content: Content, shown: int) -> int:
    """Count what the message does not list."""
    return max(0, max(content.totals.count, len(content.lines)) - shown)


def link_of(url: str | None) -> str | None:
    """Give a link that may stand in a message; None for what is no web address, or would break out of one."""
    if url is None or not url.startswith(("https://", "http://")) or len(url) > _LINK_CHARACTERS_MAX:
        return None
    return (
        None
        if any(letter in "<>|\"'`\\" or not letter.isprintable() or letter == " " for letter in url)
        else url
    )


_LINK_CHARACTERS_MAX = 2000
