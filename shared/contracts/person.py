"""A person named in a remittance. Never a field of an event: only the sealed JSON of it travels and rests."""

from shared.contracts.base import Value


class Person(Value, frozen=True, kw_only=True):
    """The parts of an NM1 segment: NM103, NM104, NM105, NM107, NM108, NM109. Its repr shows none."""

    last: str | None = None
    first: str | None = None
    middle: str | None = None
    suffix: str | None = None
    id_qualifier: str | None = None
    member_id: str | None = None
