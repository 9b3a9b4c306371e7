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
        if key in self._repeated:
            self._repeated[key] += 1
            return self._repeated[key]
        if not self._put(key):
            self._repeated[key] = 2
            return 2
        self._held += 1
        if 3 * self._held > 2 * len(self._slots):
            self._grow()
        return 1

    def _put(self, key: int) -> bool:
        slots, mask = self._slots, len(self._slots) - 1
        at = key & mask
        while held := slots[at]:
            if held == key:
                return False
            at = (at + 1) & mask
        slots[at] = key
        return True

    def _grow(self) -> None:
        keys, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        for key in keys:
            if key:
                self._put(key)
