"""docs/api.md names the lists that people work from as the code does: run this file to write them."""

import re
from pathlib import Path

from services.tracker.api.questions import QUESTIONS, questions_table

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
IN_TABLE = re.compile(r"(<!-- questions -->\n).*?(<!-- end -->\n)", re.DOTALL)


def written(page: str) -> str:
    return IN_TABLE.sub(lambda found: found[1] + questions_table() + found[2], page)


def test_the_page_has_the_questions_of_the_code():
    page = PAGE.read_text()

    assert IN_TABLE.search(page)
    assert page == written(page)
    assert len(QUESTIONS) == 10


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
