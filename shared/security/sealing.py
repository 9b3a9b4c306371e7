"""
Sealing: what names a person is unreadable without the organization's keys.

    master key (a setting) wraps ▸ index key per organization, data key per organization and month
    data key seals persons (AES-256-GCM), index key makes blind indexes (HMAC-SHA256)

A sealed value is `s1.<yyyymm>.<base64url(nonce + ciphertext)>`; organization and month are authenticated, so
a value moved to another organization does not open. Deleting a month's data key shreds what it sealed.
Nonces are random: 96 bits allow some four billion values under one key before a collision is thinkable.
"""

import base64
import binascii
import os
import re
import unicodedata
from datetime import date
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from shared.contracts.claim import SealedPerson
from shared.contracts.person import Person
from shared.errors import InvalidInputError

KEY_BYTES = 32
INDEX_BYTES = 16
_NONCE_BYTES = 12
_VERSION = "s1"
_FORM = re.compile(r"s1\.([0-9]{4})(0[1-9]|1[0-2])\.([A-Za-z0-9_-]+={0,2})")

_URL_SAFE = bytes.maketrans(b"+/", b"-_")

_encode_person = msgspec.json.Encoder().encode
_decode_person = msgspec.json.Decoder(Person).decode


class MasterKey:
    """
    The installation's key: it wraps other keys and secrets, and seals nothing else.

    During a rotation older keys stand behind it: they unwrap, and wrap nothing any more.
    """

    def __init__(self, key: bytes, *older: bytes) -> None:
        if any(len(one) != KEY_BYTES for one in (key, *older)):
            raise InvalidInputError(f"The master key must have {KEY_BYTES} bytes.", remedy=_MASTER_KEY_REMEDY)
        self._cipher = AESGCM(key)
        self._older = tuple(AESGCM(one) for one in older)

    @property
    def has_older(self) -> bool:
        """Whether a key stands behind the first one, as during a rotation."""
        return bool(self._older)

    @classmethod
    def from_text(cls, text: str) -> "MasterKey":
        """
        Read the base64 of 32 bytes, or several with commas between: the first one wraps, all unwrap.

        Raises InvalidInputError, which never shows the text.
        """
        return cls(*(_read_key(part.strip()) for part in text.split(",")))

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Encrypt a key; `context` says what it is for and must be the same when it is unwrapped."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """Decrypt a key. Raises InvalidInputError when none of ours, or another context, wrapped it."""
        for cipher in (self._cipher, *self._older):
            try:
                return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
            except (InvalidTag, ValueError):
                continue
        raise InvalidInputError(
            "A stored key does not open with this master key.",
            remedy="Set REPRIEVE_MASTER_KEY to the value with which it was wrapped.",
        )

    def rewrap(self, wrapped: bytes, *, context: bytes) -> bytes | None:
        """Wrap by the first key what an older one wrapped; None when it is so already. Raises as unwrap."""
        try:
            self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            return self.wrap(self.unwrap(wrapped, context=context), context=context)
        return None


def _read_key(text: str) -> bytes:
    try:
        return base64.b64decode(text, altchars=b"-_" if set(text) & set("-_") else None, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError("The master key is not base64.", remedy=_MASTER_KEY_REMEDY) from None


_MASTER_KEY_REMEDY = "Set REPRIEVE_MASTER_KEY to the output of `openssl rand -base64 32`."


class Sealer:
    """
    Seals, opens and indexes for one organization and month. Its state never changes: threads may share it.

    Costs about five microseconds a person, so it may stand on ingest's hot path.
    """

    def __init__(self, *, organization_id: UUID, month: date, data_key: bytes, index_key: bytes) -> None:
        label = month_label(month)
        self._organization = organization_id
        self._label = label
        self._prefix = f"{_VERSION}.{label}."
        self._authenticated = organization_id.bytes + label.encode()
        self._cipher = AESGCM(data_key)
        self._indexer = HMAC(index_key, SHA256())  # copied for each index: the key is taken in once

    def __repr__(self) -> str:
        return f"<Sealer {self._organization} {self._label}>"

    def seal(self, plaintext: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._cipher.encrypt(nonce, plaintext, self._authenticated)
        # As base64.urlsafe_b64encode(), which takes twice as long for what a name has.
        body = binascii.b2a_base64(nonce + ciphertext, newline=False).translate(_URL_SAFE)
        return self._prefix + body.decode("ascii")

    def index(self, text: str) -> str:
        """Give the blind index of a text, 32 hex digits; equal texts of one organization have equal ones."""
        indexer = self._indexer.copy()
        indexer.update(text.encode())
        return indexer.finalize()[:INDEX_BYTES].hex()

    def open(self, sealed: str) -> bytes:
        """Give the plaintext. Raises InvalidInputError when it was changed or belongs elsewhere."""
        if not sealed.startswith(self._prefix):
            month_of(sealed)
            raise InvalidInputError("This sealed value belongs to another month.", remedy=_OPEN_REMEDY)
        try:
            sealed_bytes = _decode_strictly(sealed[len(self._prefix) :].encode("ascii"))
            return self._cipher.decrypt(
                sealed_bytes[:_NONCE_BYTES], sealed_bytes[_NONCE_BYTES:], self._authenticated
            )
        except (InvalidTag, ValueError):
            raise InvalidInputError(
                "A sealed value does not open: it was changed, or belongs to another organization.",
                remedy=_OPEN_REMEDY,
            ) from None


_OPEN_REMEDY = "Open it through the organization and month that sealed it."


def _decode_strictly(body: bytes) -> bytes:
    """Decode base64url. Raises ValueError for what the decoder overlooks: foreign characters, loose bits."""
    decoded = base64.urlsafe_b64decode(body)
    if base64.urlsafe_b64encode(decoded) != body:
        raise ValueError
    return decoded


def month_label(month: date) -> str:
    """Write the month of a date as yyyymm."""
    return f"{month.year:04d}{month.month:02d}"


def month_of(sealed: str) -> date:
    """Give the first day of the month whose key sealed this. Raises InvalidInputError for anything else."""
    found = _FORM.fullmatch(sealed)
    if found is None or found[1] == "0000":
        raise InvalidInputError(
            "This is not a sealed value.", remedy="Sealed values look like s1.<yyyymm>.<base64url>."
        )
    return date(int(found[1]), int(found[2]), 1)


def seal_person(person: Person, sealer: Sealer | None) -> SealedPerson:
    """Seal a person; index name and member id. Without a sealer, or without any fact, the result is empty."""
    if sealer is None or person == _NOBODY:
        return SealedPerson()
    name = name_index_text(person.last, person.first)
    member_id = member_id_index_text(person.member_id)
    return SealedPerson(
        sealed=sealer.seal(_encode_person(person)),
        name_index=sealer.index(name) if name else None,
        member_id_index=sealer.index(member_id) if member_id else None,
    )


_NOBODY = Person()


def open_person(sealed: str, sealer: Sealer) -> Person:
    """Open what seal_person sealed. Raises InvalidInputError as Sealer.open does."""
    return _decode_person(sealer.open(sealed))


def name_index_text(last: str | None, first: str | None) -> str | None:
    """Normalise a name to LAST|FIRST (letters and digits only, no accents); None when there is neither."""
    text = f"{_letters(last)}|{_letters(first)}"
    return text if len(text) > 1 else None


def member_id_index_text(member_id: str | None) -> str | None:
    """Normalise a member id: upper case, letters and digits only; None when nothing is left."""
    return _letters(member_id) or None


def _letters(text: str | None) -> str:
    if not text:
        return ""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
    text = text.upper()
    return text if text.isalnum() and text.isascii() else "".join(filter(str.isalnum, text))
