"""The ordinal of a claim among equal loops of its set, in little memory: a set may be the whole file."""

from array import array

_SLOTS_MIN = 64


class Ordinals:
    """
    Counts equal digests. A digest that comes once costs 12 to 24 bytes, where a dict takes over a hundred.

    An open hash table of the first 64 bits. Two different loops of one set that share these bits (one chance
    in 30 million among a million claims) would count as equal: the later one's id would say so, no more.
    """

    __slots__ = ("_held", "_repeated", "_slots")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SLOTS_MIN))
        self._held = 0
        self._repeated: dict[int, int] = {}

    def next(self, digest: bytes) -> int:
        """Count one more of this digest; gives its ordinal, from 1."""
        key = int.from_bytes(digest[:8], "big") or 1  # 0 is an empty slot
        slots = self._slots
        at = key & (len(slots) - 1)
        while held := slots[at]:
            if held == key:
                ordinal = self._repeated[key] = self._repeated.get(key, 1) + 1
                return ordinal
            at = (at + 1) & (len(slots) - 1)
        slots[at] = key
        self._held += 1
        if 3 * self._held > 2 * len(slots):
            self._grow()
        return 1

    def _grow(self) -> None:
        keys, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        mask = len(self._slots) - 1
        for key in filter(None, keys):
            at = key & mask
            while self._slots[at]:
                at = (at + 1) & mask
            self._slots[at] = key
