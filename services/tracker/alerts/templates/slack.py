"""
Block Kit: what a message looks like in Slack, whichever way it gets there.

https://docs.slack.dev/reference/block-kit/blocks: 50 blocks a message, 150 characters a header, 3,000 a
section, 75 a button's text. Some 13,000 characters over all are refused as `msg_too_long`, which is written
nowhere (slackapi/bolt-js#2509).
"""

from typing import Any

from services.tracker.alerts.domain.notification import Notification
from services.tracker.alerts.domain.wording import (
    cut,
    describe,
    headline,
    link_of,
    not_shown,
    one_line,
)

BLOCKS_MAX = 50
SECTION_CHARACTERS_MAX = 3000
_HEADER_CHARACTERS_MAX = 150
_MESSAGE_CHARACTERS_MAX = 10_000
_LINE_CHARACTERS_MAX = 600

_ACTION = {"resolved": "See what it was", "test": "Open Reprieve"}


def message(notification: Notification, *, lines_max: int) -> dict[str, Any]:
    """
    Make `text`, for notices and screen readers, and `blocks`.

    The first block's id is the notification's: whoever got a message twice can tell by it.
    """
    content = notification.content
    title = headline(content, notification.kind, notification.severity)
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "block_id": str(notification.notification_id),
            "text": {"type": "plain_text", "text": cut(title, _HEADER_CHARACTERS_MAX), "emoji": False},
        }
    ]
    blocks += sections(notification, lines_max=lines_max)
    blocks.append(_context(notification))
    blocks += _buttons(notification)
    return {
        "text": escape(cut(title, SECTION_CHARACTERS_MAX)),
        "blocks": blocks[:BLOCKS_MAX],
    }


def sections(notification: Notification, *, lines_max: int) -> list[dict[str, Any]]:
    """Write the first lines, in as many sections as they need; what is left out is counted."""
    content = notification.content
    written: list[str] = []
    size = 0
    for line in content.lines[:lines_max]:
        link = link_of(line.link)
        words = escape(cut(describe(line), _LINE_CHARACTERS_MAX))
        shown = f"• {words} <{link}|open>" if link and len(link) < _LINE_CHARACTERS_MAX else f"• {words}"
        if size + len(shown) > _MESSAGE_CHARACTERS_MAX:
            break
        written.append(shown)
        size += len(shown) + 1
    more = not_shown(content, len(written))
    if more and written:
        written.append(f"and {more:,} more")
    return [_section(text) for text in _packed(written)]


def _packed(lines: list[str]) -> list[str]:
    texts: list[str] = []
    for line in lines:
        if texts and len(texts[-1]) + len(line) < SECTION_CHARACTERS_MAX:
            texts[-1] += f"\n{line}"
        else:
            texts.append(line)
    return texts


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _context(notification: Notification) -> dict[str, Any]:
    content = notification.content
    said = [f"rule {one_line(content.rule)}", notification.severity]
    if content.acknowledged:
        said.append("somebody has it")
    runbook = link_of(notification.runbook)
    if notification.runbook and not runbook:
        said.append(f"runbook {one_line(notification.runbook)}")
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": escape(cut(" · ".join(said), 500))}]}


def _buttons(notification: Notification) -> list[dict[str, Any]]:
    wanted = {
        "open": (_ACTION.get(notification.kind, "Open"), link_of(notification.content.link)),
        "runbook": ("What to do", link_of(notification.runbook)),
    }
    buttons = [
        {
            "type": "button",
            "action_id": name,
            "text": {"type": "plain_text", "text": label, "emoji": False},
            "url": url,
        }
        for name, (label, url) in wanted.items()
        if url
    ]
    return [{"type": "actions", "elements": buttons}] if buttons else []


def escape(text: str) -> str:
    """Write the three characters that Slack reads as its own; nobody can be mentioned by a payer's name."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
