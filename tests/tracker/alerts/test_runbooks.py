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
