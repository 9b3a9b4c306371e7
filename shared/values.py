"""Small values that every service must compute in the same way."""

from hashlib import sha1
from uuid import UUID, SafeUUID

SHARDS = 12
"""Units of ordering. A claim key always falls into the same shard; a relay works a shard alone."""

REPRIEVE_NAMESPACE = UUID("6f1b7c0e-2a55-5d0e-9a44-7c0f8b1d9e63")
"""Root of every UUIDv5 that Reprieve derives. Changing it would re-identify every claim ever read."""


def shard_of(claim_key: UUID) -> int:
    """Give the shard of a claim key, 0 to SHARDS - 1: the same in every process and release."""
    return claim_key.int % SHARDS


def derived(namespace: UUID, name: str) -> UUID:
    """Give uuid5(namespace, name), written out: UUID's own checks cost more than the hash."""
    digest = sha1(namespace.int.to_bytes(16, "big") + name.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest, "big") >> 32  # 16 of 20 bytes
    found = _NEW(UUID)
    _SET_NUMBER(found, number & _VERSION_CLEARED | _VERSION_5)
    _SET_SAFETY(found, _UNKNOWN)
    return found


_NEW, _UNKNOWN = object.__new__, SafeUUID.unknown  # asked of the enumeration each time, it costs a call
# The slots' own setters go past UUID's, which lets nothing be set.
_SET_NUMBER, _SET_SAFETY = UUID.__dict__["int"].__set__, UUID.__dict__["is_safe"].__set__
_VERSION_CLEARED = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_5 = 5 << 76 | 0x8000 << 48  # RFC 9562: version 5, variant 10
