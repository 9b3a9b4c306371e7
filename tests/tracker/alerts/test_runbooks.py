"""Every rule has a page that says what to do, and every page has a rule."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from services.cli import application
from services.tracker.alerts.domain.groups import CATCH_UP
from services.tracker.alerts.domain.rules import KINDS

DOCS = Path(__file__).parents[3] / "docs"
PAGES = DOCS / "runbooks"


def test_every_kind_of_rule_has_a_page_and_every_page_a_kind():
    assert {page.stem for page in PAGES.glob("*.md")} == {*KINDS, CATCH_UP}


def test_every_page_says_what_to_do_and_when_it_is_over():
    for page in PAGES.glob("*.md"):
        text = page.read_text()
        assert text.startswith("# ")
        for part in ("## What to do\n\n1. ", "## When it is over", "## If it comes too often"):
            assert part in text, page.name


async def test_the_link_in_a_message_opens_without_a_key_and_opens_nothing_else(site):
    stranger = site["stranger"]
    del stranger.headers["authorization"]
    for page in PAGES.glob("*.md"):
        answer = await stranger.get(f"/runbooks/{page.name}")
        assert (answer.status_code, answer.text) == (200, page.read_text())
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"

    inside = ("/runbooks", "/runbooks/", "/runbooks/x.md", "/runbooks/%2e%2e/app.py", "/v1/alerts")
    for path in inside:
        assert (await stranger.get(path)).status_code == 401, path
    assert (await site["viewer"].get("/runbooks/x.md")).status_code == 404


def commands_in(text: str) -> set[str]:
    """Find the commands that a page shows: between backticks, or on lines of their own."""
    shown = re.findall(r"`(reprieve [^`]+)`|^(reprieve .+?)(?:\s+#.*)?$", text, flags=re.MULTILINE)
    return {inline or line for inline, line in shown}


def unknown_in(command: str) -> str | None:
    """Say which word of a command is no sub-command or option of it; `…` stands for a value."""
    _, *words = shlex.split(command)
    found = typer.main.get_command(application(words))
    while words and hasattr(found, "commands") and not words[0].startswith("-"):
        if words[0] not in found.commands:
            return words[0]
        found = found.commands[words.pop(0)]
    known = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return next((word for word in words if word.startswith("--") and word not in known), None)


@pytest.mark.parametrize("page", [*PAGES.glob("*.md"), *DOCS.glob("alert*.md")], ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one(page):
    for command in commands_in(page.read_text()):
        assert unknown_in(command) is None, command


def test_a_command_that_is_none_would_be_found():
    assert unknown_in("reprieve dlq replay --every") == "--every"
    assert unknown_in("reprieve alerts mute CHANNEL") == "mute"
