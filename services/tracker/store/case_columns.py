"""
Many cases as one set of rows for PostgreSQL, column by column.

One JSON of all cases would be easier to write, but takes PostgreSQL twice as long to read.
"""

from collections.abc import Sequence
from typing import Any

from services.tracker.domain.cases import WORK_FIELDS, Case
from shared.postgres.arrays import array_of

COLUMNS = tuple(name for name in Case.__struct_fields__ if name not in WORK_FIELDS)
"""What the fold writes of every case; the columns of people's work have defaults (case_work.py)."""

_TYPES = {
    **dict.fromkeys(("organization_id", "case_id", "claim_key", "merged_into", "current_event_id"), "uuid"),
    **dict.fromkeys(("ordinal", "current_revision", "current_decision_revision"), "integer"),
    **dict.fromkeys(("is_test", "auth_related", "needs_human"), "boolean"),
    **dict.fromkeys(("service_from", "denied_on"), "date"),
    **dict.fromkeys(("charge_amount", "denied_amount", "amount_at_stake", "paid_amount"), "numeric"),
    **dict.fromkeys(("unsure_from", "unsure_until"), "timestamptz"),
    "priority": "smallint",
    "confidence": "double precision",
}
"""What is neither text nor several values."""

_SEVERAL = {
    "event_ids": "uuid",
    "deadlines": "timestamptz",
    "deadline_zones": "text",
    "needs_human_reasons": "text",
}


def columns_of(cases: Sequence[Case]) -> dict[str, str]:
    """Give the parameters of ROWS."""
    return {name: _column(name, [getattr(case, name) for case in cases]) for name in COLUMNS}


def _column(name: str, values: Sequence[Any]) -> str:
    return array_of([array_of(own) for own in values] if name in _SEVERAL else values)


def _array(name: str) -> str:
    return f"cast(cast(:{name} as text) as {_TYPES.get(name, 'text')}[])"


def _element(name: str) -> str:
    return f"cast({name} as {_SEVERAL[name]}[]) as {name}" if name in _SEVERAL else name


ROWS = f"""
    select {", ".join(map(_element, COLUMNS))}
    from unnest({", ".join(map(_array, COLUMNS))}) as one({", ".join(COLUMNS)})
"""
"""A query for the cases whose columns are bound by columns_of(), with COLUMNS as its columns."""
