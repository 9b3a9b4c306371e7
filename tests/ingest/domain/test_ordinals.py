"""Equal loops are told apart by counting; see services/ingest/domain/ordinals.py."""

import tracemalloc
from collections import Counter
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.ordinals import Ordinals

small = st.integers(0, 300).map(lambda number: sha256(number.to_bytes(4, "big")).digest()[:16])
crowded = st.integers(0, 40).map(
    lambda number: (number * 1024).to_bytes(8, "big") + bytes(8)
)  # all want one slot


@given(st.lists(small | crowded, max_size=600))
def test_the_ordinal_is_how_often_the_digest_has_come(digests: list[bytes]) -> None:
    ordinals, seen = Ordinals(), Counter[bytes]()
    for digest in digests:
        seen[digest] += 1
        assert ordinals.next(digest) == seen[digest]


def test_a_claim_costs_few_bytes() -> None:
    tracemalloc.start()
    ordinals = Ordinals()
    for number in range(100_000):
        assert ordinals.next(sha256(number.to_bytes(4, "big")).digest()) == 1
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000 * 24
