"""`reprieve cases fact`: what no remittance says, told at a terminal."""

from typing import Annotated
from uuid import uuid4

import typer

from services.case_steps import As, Case, DataDir, Note, Role
from services.triage.domain.fact_words import FACT_WORDS
from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem

facts = typer.Typer()

_KINDS = "; ".join(f"{kind}: {words}" for kind, words in FACT_WORDS.items())


@facts.command("fact")
def fact(
    case_id: Case,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=_KINDS)],
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="A day, an instant with offset, a month (YYYY-MM), a word, yes or no."
        ),
    ],
    *,
    note: Note = None,
    as_: As = Role.biller,
    data_dir: DataDir = None,
) -> None:
    """
    Record what no remittance says, such as the admission date: the case is decided again with it.

    A later fact of the same kind replaces it. The clocks of `cases show` name the kinds that they hang on.
    """
    if kind not in FACT_WORDS:
        raise InvalidInputError(
            "There is no such kind of fact.", remedy=f"Tell one of {', '.join(FACT_WORDS)}."
        )
    told = {"kind": kind, "value": value} | ({} if note is None else {"note": note})
    with Stack.find(data_dir).client("tracker", as_) as tracker:
        answer = tracker.post(
            f"/v1/cases/{case_id}/facts", json=told, headers={"Idempotency-Key": str(uuid4())}
        )
        recorded = raise_for_problem(answer).json()
    typer.echo(f"Recorded: {FACT_WORDS[recorded['kind']]}: {recorded['value']}.")
    typer.echo(f"It is being decided again; see `reprieve cases show {case_id}`.")
