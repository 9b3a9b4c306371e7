"""docs/lifecycle.md says what the tables of the code say: run this file to write it."""

import re
from pathlib import Path

from services.tracker.domain.completing import FOLLOW_UP_DAYS, PAYMENT_DAYS
from services.tracker.domain.lifecycle import RECOVERED_AT_LEAST
from services.tracker.domain.states import CLOSINGS, LIVE_STATES, MOVES, STATES

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
IN_TABLES = re.compile(r"(<!-- steps -->\n).*?(<!-- reasons -->\n).*?(<!-- end -->\n)", re.DOTALL)


def states_said(states) -> str:
    if states == frozenset(STATES):
        return "any"
    if states == LIVE_STATES:
        return "any live one"
    if len(states) > 6:
        return "any but " + ", ".join(one for one in STATES if one not in states)
    return ", ".join(one for one in STATES if one in states)


def steps_table() -> str:
    lines = [
        "| step | the case is | the request is | the case becomes | the request becomes |",
        "|---|---|---|---|---|",
    ]
    for move in MOVES:
        name = f"`{move.step}`" + (f" {move.outcome}" if move.outcome else "")
        to = {None: "", "before": "what it was before"}.get(move.to, move.to)
        request = ", ".join("not there" if one is None else one for one in move.of_request)
        lines.append(f"| {name} | {states_said(move.of_case)} | {request} | {to} | {move.request_to or ''} |")
    return "\n".join(lines) + "\n"


def reasons_table() -> str:
    lines = ["| reason | from | who |", "|---|---|---|"]
    lines += [f"| `{one.reason}` | {states_said(one.of_case)} | {', '.join(one.roles)} |" for one in CLOSINGS]
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    return IN_TABLES.sub(lambda found: found[1] + steps_table() + found[2] + reasons_table() + found[3], page)


def test_the_page_has_the_tables_of_the_code():
    page = PAGE.read_text()

    assert IN_TABLES.search(page)
    assert page == written(page)


def test_the_page_names_every_state_and_the_figures_of_the_code():
    page = PAGE.read_text()

    assert not [state for state in STATES if f"`{state}`" not in page]
    assert f"{FOLLOW_UP_DAYS} days" in page
    assert f"{PAYMENT_DAYS} days" in page
    assert RECOVERED_AT_LEAST * 10 == 1
    assert "less than a tenth" in page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
