"""The two bodies of a message: plain text, and HTML that loads nothing from anywhere."""

from html import escape

from services.tracker.alerts.domain.content import Line
from services.tracker.alerts.domain.notification import Notification
from services.tracker.alerts.domain.wording import describe, headline, link_of, not_shown, one_line

_LINES_MAX = 200


def plain(notification: Notification) -> str:
    """Write the plain text."""
    content = notification.content
    lines = [headline(content, notification.kind, notification.severity), ""]
    for line in content.lines[:_LINES_MAX]:
        lines.append(f"- {describe(line)}")
        if link := link_of(line.link):
            lines.append(f"  {link}")
    if more := not_shown(content, min(len(content.lines), _LINES_MAX)):
        lines.append(f"and {more:,} more")
    lines += ["", *(f"{label}: {value}" for label, value in _footer(notification))]
    return "\n".join(lines) + "\n"


def html(notification: Notification) -> str:
    """Write the HTML."""
    content = notification.content
    items = "".join(f"<li>{_item(line)}</li>" for line in content.lines[:_LINES_MAX])
    more = not_shown(content, min(len(content.lines), _LINES_MAX))
    rest = f"<p>and {more:,} more</p>" if more else ""
    footer = "".join(
        f"<p>{escape(label)}: {_linked(value, link_of(value))}</p>" for label, value in _footer(notification)
    )
    title = escape(headline(content, notification.kind, notification.severity))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f"<body><h2>{title}</h2><ul>{items}</ul>{rest}{footer}</body></html>\n"
    )


def _item(line: Line) -> str:
    return _linked(describe(line), link_of(line.link))


def _linked(text: str, url: str | None) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>' if url else escape(text)


def _footer(notification: Notification) -> list[tuple[str, str]]:
    wanted = {
        "Open": link_of(notification.content.link),
        "What to do": notification.runbook and one_line(notification.runbook),
        "Rule": one_line(notification.content.rule),
    }
    return [(label, value) for label, value in wanted.items() if value]
