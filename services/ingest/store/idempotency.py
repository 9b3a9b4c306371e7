"""Idempotency keys: which receipt a sender's own key stands for, for a week."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import InvalidInputError
from shared.postgres import transaction

KEPT_DAYS = 7

_KEEP = text("""
    insert into ingest.idempotency_keys (submitter_id, key, receipt_id)
    values (:submitter_id, :key, :receipt_id) on conflict do nothing
""")
# A statement of its own: the one above may have waited for the key of a transaction that it does not see.
_STANDS_FOR = text(
    "select receipt_id from ingest.idempotency_keys where submitter_id = :submitter_id and key = :key"
)
_FORGET = text("""
    delete from ingest.idempotency_keys
    where submitter_id = any (cast(:submitters as uuid[]))
        and created_at < now() - make_interval(days => :days)
""")


class KeyReusedError(InvalidInputError):
    """The sender used its key for other bytes before."""

    slug = "idempotency-key-reused"


async def keep_key(connection: AsyncConnection, *, submitter_id: UUID, key: str, receipt_id: UUID) -> None:
    """
    Let a key stand for a receipt, in the transaction that keeps the receipt.

    Raises KeyReusedError when it stands for another one, whose bytes were others.
    """
    asked = {"submitter_id": submitter_id, "key": key}
    await connection.execute(_KEEP, {**asked, "receipt_id": receipt_id})
    if await connection.scalar(_STANDS_FOR, asked) != receipt_id:
        raise KeyReusedError(
            "This Idempotency-Key was used for other bytes within the last seven days.",
            remedy="Use a new key for each file; the same bytes are recognised without any key.",
        )


async def forget_old_keys(engine: AsyncEngine, *, submitters: Sequence[UUID]) -> None:
    """Delete the keys that are older than a week."""
    async with transaction(engine, submitters=submitters) as connection:
        await connection.execute(_FORGET, {"submitters": list(submitters), "days": KEPT_DAYS})
