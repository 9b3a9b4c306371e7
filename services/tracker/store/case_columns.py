"""
Many cases as one set of rows for PostgreSQL, column by column.

One JSON of all cases would be easier to write, but takes PostgreSQL twice as long to read.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from services.tracker.domain.cases import WORK_FIELDS, Case, next_deadline
from shared.postgres.arrays import array_of, columns

COLUMNS = tuple(name for name in Case.__struct_fields__ if name not in WORK_FIELDS)
"""What the fold writes of every case; the columns of people's work have defaults (case_work.py)."""

FOLDED = (*COLUMNS, "next_deadline_at")

_TYPES = {
    **dict.fromkeys(("organization_id", "case_id", "claim_key", "merged_into", "current_event_id"), "uuid"),
    **dict.fromkeys(("ordinal", "current_revision", "current_decision_revision"), "integer"),
    **dict.fromkeys(("is_test", "auth_related", "needs_human"), "boolean"),
    **dict.fromkeys(("service_from", "denied_on"), "date"),
    **dict.fromkeys(("charge_amount", "denied_amount", "amount_at_stake", "paid_amount"), "numeric"),
    **dict.fromkeys(("unsure_from", "unsure_until", "next_deadline_at"), "timestamptz"),
    "priority": "smallint",
    "confidence": "double precision",
}
"""What is neither text nor several values."""

_SEVERAL = {
    "event_ids": "uuid",
    "deadlines": "timestamptz",
    "deadline_zones": "text",
    "needs_human_reasons": "text",
    "further_service_codes": "text",
}


def columns_of(cases: Sequence[Case], *, at: datetime) -> dict[str, Any]:
    """Give the parameters of ROWS; `at` is the instant behind which the next deadline lies."""
    fields = zip(*map(msgspec.structs.astuple, cases), strict=True)
    columns = {name: _column(name, values) for name, values in zip(COLUMNS, fields, strict=False)}
    return columns | {"next_deadline_at": array_of([next_deadline(case, at) for case in cases])}


def _column(name: str, values: Sequence[Any]) -> str | list[Any]:
    if _TYPES.get(name) == "uuid":
        return list(values)
    if name not in _SEVERAL:
        return array_of(values)
    if _SEVERAL[name] == "text":
        return array_of([_texts(own) for own in values])
    # Ids and instants need no quotes, which would have to be quoted themselves.
    return array_of([array_of(own).replace('"', "") for own in values])


_texts = lru_cache(maxsize=1024)(array_of)  # the same few again and again


def _element(name: str) -> str:
    return f"cast({name} as {_SEVERAL[name]}[]) as {name}" if name in _SEVERAL else name


ROWS = f"""
    select {", ".join(map(_element, FOLDED))}
    from ({columns(**{name: _TYPES.get(name, "text") for name in FOLDED})}) as one
"""
"""A query for the cases whose columns are bound by columns_of(), with FOLDED as its columns."""
