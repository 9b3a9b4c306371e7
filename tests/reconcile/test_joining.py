"""The three streams are joined side by side, exactly and without keeping them."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.reconcile.joining import join
from services.reconcile.lines import DecisionLine, EventLine, Key, LedgerLine
from services.reconcile.tally import Comparison
from services.reconcile.verdicts import judge

ONE = Decimal("1.00")
AT = datetime(2026, 3, 2, tzinfo=UTC)

keys = st.tuples(
    st.integers(0, 2).map(lambda n: UUID(int=n)),
    st.one_of(st.integers(0, 5), st.integers(2**127, 2**127 + 3)).map(lambda n: UUID(int=n)),
    st.integers(1, 3),
)
key_sets = st.sets(keys)


def common(key: Key) -> dict:
    organization, event, revision = key
    return {
        "organization_id": organization,
        "event_id": event,
        "revision": revision,
        "charge_amount": ONE,
        "denied_amount": ONE,
    }


def event_line(key: Key) -> EventLine:
    return EventLine(**common(key), remittance_id=UUID(int=9), state="settled")


def decision_line(key: Key) -> DecisionLine:
    return DecisionLine(
        **common(key), decisions=1, latest_decision_id=key[1], latest_decision_revision=1, state="settled"
    )


def ledger_line(key: Key) -> LedgerLine:
    return LedgerLine(**common(key), decision_revision=1)


@given(events=key_sets, decisions=key_sets, ledger=key_sets)
def test_a_join_gives_each_key_once_beside_what_each_stream_has_of_it(events, decisions, ledger):
    joined = list(
        join(
            map(event_line, sorted(events)),
            map(decision_line, sorted(decisions)),
            map(ledger_line, sorted(ledger)),
        )
    )

    assert [one.key for one in joined] == sorted(events | decisions | ledger)
    assert {one.key for one in joined if one.event} == events
    assert {one.key for one in joined if one.decision} == decisions
    assert {one.key for one in joined if one.ledger} == ledger


def peak_bytes(claims: int) -> int:
    """What a pass over so many claims, one in ten of them lost, keeps in memory at most."""

    def all_keys() -> Iterator[Key]:
        return ((UUID(int=1), UUID(int=n), 1) for n in range(claims))

    tracemalloc.start()
    comparison = Comparison()
    found = (ledger_line(key) for key in all_keys() if key[1].int % 10)
    for joined in join(map(event_line, all_keys()), map(decision_line, all_keys()), found):
        comparison.add_event(joined, judge(joined, at=AT))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert comparison.verdicts["missing"] == claims // 10
    return peak


def test_memory_does_not_grow_with_the_number_of_claims():
    assert peak_bytes(60_000) < 1.2 * peak_bytes(20_000)
