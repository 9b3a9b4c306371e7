"""
The ten lists that people work from, as paths of the API.

docs/api.md prints this table, the description of the list names it, the bench asks them at a hundred a second
and a test looks at their plans: what stands here has to be quick among a million cases.
"""

from typing import NamedTuple


class Question(NamedTuple):
    """What somebody wants to know, and where the answer is. {in_a_week} is a day, the others are values."""

    words: str
    path: str


QUESTIONS = (
    Question("What do I do next?", "/v1/worklist"),
    Question("Which of mine end first?", "/v1/cases?assignee=me&sort=deadline"),
    Question("What has nobody begun?", "/v1/cases?state=open&assignee=none"),
    Question(
        "What ends within a week, and nothing was sent?",
        "/v1/cases?state=open&state=in_preparation&deadline_before={in_a_week}&sort=deadline",
    ),
    Question("Which payers wait for our answer?", "/v1/cases?state=information_requested&sort=deadline"),
    Question("What lies at payers the longest?", "/v1/cases?state=submitted&age_at_least=30&sort=-age"),
    Question("Where is the most money?", "/v1/cases?state=open&amount_at_least=10000&sort=-amount"),
    Question(
        "What is to be said to one payer?",
        "/v1/cases?payer={payer}&category=authorization_absent&state=open",
    ),
    Question("What is open at one facility?", "/v1/cases?facility={facility}&state=open&sort=deadline"),
    Question("What was refused, and may be appealed?", "/v1/cases?state=denied&sort=deadline"),
)


def questions_table() -> str:
    """Write the questions as a table in Markdown."""
    rows = [f"| {one.words} | `{one.path}` |" for one in QUESTIONS]
    return "\n".join(("| question | path |", "|---|---|", *rows)) + "\n"
