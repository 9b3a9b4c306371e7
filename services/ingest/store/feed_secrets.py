"""Signing secrets of feeds, sealed by the master key: at most two, so that one can replace the other."""

import base64
import secrets
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store.feeds import no_such_feed
from shared.errors import ConflictError, NotFoundError
from shared.postgres import transaction
from shared.security.sealing import MasterKey

SECRET_PREFIX = "whsec_"  # noqa: S105  of Standard Webhooks; the secret follows it
_SECRET_BYTES = 32  # Standard Webhooks asks for 24 to 64

_LOCK = text("select 1 from ingest.feeds where submitter_id = :submitter_id and name = :feed for update")
_ADD = text("""
    insert into ingest.feed_secrets (submitter_id, feed, slot, secret_id, wrapped_secret)
    select :submitter_id, :feed, free.slot, :secret_id, :wrapped_secret
    from (
        select slot from unnest(array[1, 2]::smallint[]) as wanted(slot)
        except select slot from ingest.feed_secrets where submitter_id = :submitter_id and feed = :feed
        order by slot limit 1
    ) free
    returning slot
""")
_REMOVE = text("""
    delete from ingest.feed_secrets
    where submitter_id = :submitter_id and feed = :feed and secret_id = :secret_id returning 1
""")
_OF_FEED = text("""
    select s.secret_id, s.wrapped_secret from ingest.feeds f
    left join ingest.feed_secrets s on s.submitter_id = f.submitter_id and s.feed = f.name
    where f.submitter_id = :submitter_id and f.name = :feed
""")


async def add_secret(
    engine: AsyncEngine, master_key: MasterKey, *, submitter_id: UUID, feed: str
) -> tuple[UUID, str]:
    """
    Make a secret for a feed; from then on it takes signed requests only. Gives its id and its text, once.

    Raises NotFoundError for an unknown feed, ConflictError when it has two already.
    """
    secret_id, secret = uuid4(), secrets.token_bytes(_SECRET_BYTES)
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "feed": feed}
        if await connection.scalar(_LOCK, asked) is None:
            raise no_such_feed()
        wrapped = master_key.wrap(secret, context=secret_context(submitter_id, secret_id))
        added = await connection.scalar(_ADD, {**asked, "secret_id": secret_id, "wrapped_secret": wrapped})
    if added is None:
        raise ConflictError(
            "The feed has two signing secrets already.", remedy="Remove the one that is not used any more."
        )
    return secret_id, SECRET_PREFIX + base64.b64encode(secret).decode("ascii")


async def remove_secret(engine: AsyncEngine, *, submitter_id: UUID, feed: str, secret_id: UUID) -> None:
    """Forget a secret; a feed without any takes unsigned requests again. Raises NotFoundError."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "feed": feed, "secret_id": secret_id}
        if await connection.scalar(_REMOVE, asked) is None:
            raise NotFoundError(
                "The feed has no such secret.", remedy="`reprieve feeds show NAME` lists its secrets."
            )


async def secrets_of_feed(
    engine: AsyncEngine, master_key: MasterKey, *, submitter_id: UUID, feed: str
) -> tuple[bytes, ...]:
    """Give a feed's secrets; none for one whose requests need no signature. Raises NotFoundError."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        found = (await connection.execute(_OF_FEED, {"submitter_id": submitter_id, "feed": feed})).all()
    if not found:
        raise no_such_feed()
    return tuple(
        master_key.unwrap(row.wrapped_secret, context=secret_context(submitter_id, row.secret_id))
        for row in found
        if row.wrapped_secret is not None
    )


def secret_context(submitter_id: UUID, secret_id: UUID) -> bytes:
    """Bind a wrapped secret to its submitter and its id."""
    return b"reprieve feed secret " + submitter_id.bytes + secret_id.bytes
