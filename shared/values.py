"""Small values that every service must compute in the same way."""

from uuid import UUID

SHARDS = 12
"""Units of ordering. A claim key always falls into the same shard; a relay works a shard alone."""

REPRIEVE_NAMESPACE = UUID("6f1b7c0e-2a55-5d0e-9a44-7c0f8b1d9e63")
"""Root of every UUIDv5 that Reprieve derives. Changing it would re-identify every claim ever read."""


def shard_of(claim_key: UUID) -> int:
    """Give the shard of a claim key, 0 to SHARDS - 1: the same in every process and release."""
    return claim_key.int % SHARDS
