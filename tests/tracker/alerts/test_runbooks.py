"""Every rule has a page that says what to do, and every page has a rule."""

from pathlib import Path

from services.tracker.alerts.domain.groups import CATCH_UP
from services.tracker.alerts.domain.rules import KINDS

PAGES = Path(__file__).parents[3] / "docs" / "runbooks"


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
