"""The key of a claim, by which ingest files it and the tracker finds it again."""

from functools import lru_cache
from hashlib import sha1
from typing import TYPE_CHECKING
from uuid import UUID, SafeUUID

from shared.values import REPRIEVE_NAMESPACE

if TYPE_CHECKING:
    from hashlib import _Hash


def claim_key_of(organization_id: UUID, claim_number: str) -> UUID | None:
    """Give the key of the claims with this provider's number (CLP01); None where it tells nothing."""
    number = telling(claim_number)
    return identified(organization_id, f"claim\x1f{number}") if number else None


def telling(number: str) -> str:
    """Give the number as compared, empty where it tells nothing (blank or zeros)."""
    normal = number.strip().upper()
    return normal if normal.strip("0") else ""


def identified(organization_id: UUID, name: str) -> UUID:
    """
    Give uuid5(REPRIEVE_NAMESPACE, organization's bytes + name).

    Written out, because uuid.uuid5 and UUID's own checks cost more than all else that a paid claim needs.
    """
    seed = _begun(organization_id.int).copy()
    seed.update(name.encode("utf-8", "surrogateescape"))
    number = _INT(seed.digest(), "big") >> 32  # 16 of 20 bytes
    derived = _NEW(UUID)
    _SET_NUMBER(derived, number & _VERSION_CLEARED | _VERSION_5)
    _SET_SAFETY(derived, _UNKNOWN)
    return derived


@lru_cache(maxsize=256)
def _begun(organization: int) -> "_Hash":
    """Take in what all names of an organization begin with: a copy costs less than to begin."""
    return sha1(REPRIEVE_NAMESPACE.bytes + organization.to_bytes(16, "big"), usedforsecurity=False)


# Looked up once; the slots' own setters go past UUID's, which lets nothing be set.
_INT, _NEW, _UNKNOWN = int.from_bytes, object.__new__, SafeUUID.unknown
_SET_NUMBER, _SET_SAFETY = UUID.__dict__["int"].__set__, UUID.__dict__["is_safe"].__set__
_VERSION_CLEARED = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_5 = 5 << 76 | 0x8000 << 48  # RFC 9562: version 5, variant 10
