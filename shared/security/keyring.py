"""The keys of the organizations, fetched once and kept in memory for a while."""

import os
import time
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.person import Person
from shared.errors import InvalidInputError, NotFoundError
from shared.postgres import transaction
from shared.security import sealing
from shared.security.sealing import KEY_BYTES, MasterKey, Sealer

REMEMBERED_SECONDS = 300.0
"""How long a process may still open a month after its key was deleted."""

_INDEX_KEY = text("select access.index_key(:organization_id)")
_DATA_KEY = text("select access.data_key(:organization_id, :month)")
_KEEP_DATA_KEY = text("select access.keep_data_key(:organization_id, :month, :wrapped_key)")


class ShreddedError(InvalidInputError):
    """The key was destroyed on purpose: what it sealed cannot be read any more."""

    slug = "shredded"


def index_key_context(organization_id: UUID) -> bytes:
    """Bind a wrapped index key to its organization."""
    return b"reprieve index key " + organization_id.bytes


def data_key_context(organization_id: UUID, month: date) -> bytes:
    """Bind a wrapped data key to its organization and month."""
    return b"reprieve data key " + organization_id.bytes + sealing.month_label(month).encode()


@dataclass(frozen=True, slots=True)
class _Kept:
    sealer: Sealer
    until: float


class Keyring:
    """Gives the Sealer of an organization and month. Only ingest's and the tracker's roles may fetch keys."""

    def __init__(self, engine: AsyncEngine, master_key: MasterKey) -> None:
        self._engine = engine
        self._master_key = master_key
        self._kept: dict[tuple[UUID, date], _Kept] = {}

    async def sealer(self, organization_id: UUID, on: date) -> Sealer:
        """
        Give the sealer of the month of `on`; the first use makes the month's key.

        Raises NotFoundError for an unknown organization, ShreddedError when the month's key was deleted,
        InvalidInputError when the master key is another one, UnavailableError while the database does not
        answer.
        """
        return await self._sealer(organization_id, on.replace(day=1), make=True)

    async def open_person(self, organization_id: UUID, sealed: str) -> Person:
        """Open a sealed person. Raises as sealer() and Sealer.open() do."""
        sealer = await self._sealer(organization_id, sealing.month_of(sealed), make=False)
        return sealing.open_person(sealed, sealer)

    async def open_text(self, organization_id: UUID, sealed: str) -> str:
        """Open a sealed text. Raises as open_person() does."""
        sealer = await self._sealer(organization_id, sealing.month_of(sealed), make=False)
        return sealer.open(sealed).decode()

    async def _sealer(self, organization_id: UUID, month: date, *, make: bool) -> Sealer:
        kept = self._kept.get((organization_id, month))
        if kept is not None and kept.until > time.monotonic():
            return kept.sealer
        async with transaction(self._engine) as connection:
            index_key = await self._index_key(connection, organization_id)
            data_key = await self._data_key(connection, organization_id, month, make=make)
        sealer = Sealer(organization_id=organization_id, month=month, data_key=data_key, index_key=index_key)
        self._forget_outdated()
        self._kept[organization_id, month] = _Kept(sealer, time.monotonic() + REMEMBERED_SECONDS)
        return sealer

    async def _index_key(self, connection: AsyncConnection, organization_id: UUID) -> bytes:
        wrapped = await connection.scalar(_INDEX_KEY, {"organization_id": organization_id})
        if wrapped is None:
            raise NotFoundError("There is no such organization.", remedy="`reprieve orgs list` shows them.")
        return self._master_key.unwrap(wrapped, context=index_key_context(organization_id))

    async def _data_key(
        self, connection: AsyncConnection, organization_id: UUID, month: date, *, make: bool
    ) -> bytes:
        asked = {"organization_id": organization_id, "month": month}
        context = data_key_context(organization_id, month)
        wrapped = await connection.scalar(_DATA_KEY, asked)
        if wrapped is None and make:
            # Two processes may both come here: the database keeps the first key and gives it to both.
            fresh = self._master_key.wrap(os.urandom(KEY_BYTES), context=context)
            wrapped = await connection.scalar(_KEEP_DATA_KEY, {**asked, "wrapped_key": fresh})
        if wrapped is None:
            raise ShreddedError(
                f"The key of the month {month:%Y-%m} was deleted.",
                remedy="What it sealed cannot be read any more; that was the purpose.",
            )
        return self._master_key.unwrap(wrapped, context=context)

    def _forget_outdated(self) -> None:
        now = time.monotonic()
        for key in [key for key, kept in self._kept.items() if kept.until <= now]:
            del self._kept[key]
