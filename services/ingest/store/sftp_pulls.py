"""Where files of a feed are fetched from, with which sealed secret, how that goes, and what was fetched."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store.feeds import no_such_feed
from shared.errors import NotFoundError
from shared.postgres import transaction
from shared.security.sealing import MasterKey

Afterwards = Literal["move", "delete", "keep"]
"""What is done over there with a file that was fetched."""

SecretKind = Literal["password", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpPlace:
    """
    A folder of an SFTP server.

    `host_key` is one line of OpenSSH's public key format: no other server is spoken to. `pattern` is a shell
    pattern of file names. `done_folder` is where `move` puts files, below `folder`.
    """

    host: str
    port: int = 22
    user_name: str
    host_key: str
    folder: str = "."
    pattern: str = "*"
    afterwards: Afterwards = "move"
    done_folder: str = "done"
    poll_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpPull:
    """A feed that is fetched. `failing_since` and `failure` tell how it goes."""

    submitter_id: UUID
    feed: str
    place: SftpPlace
    secret_kind: SecretKind
    wrapped_secret: bytes = field(repr=False)
    changed_at: datetime
    pulled_at: datetime | None
    failing_since: datetime | None
    failure: str | None

    def secret(self, master_key: MasterKey) -> bytes:
        """Open the password or private key. Raises InvalidInputError when the master key is another one."""
        return master_key.unwrap(
            self.wrapped_secret, context=sftp_secret_context(self.submitter_id, self.feed)
        )


_SUBMITTERS = text("select submitter_id from access.submitters_of_installation()")
_COLUMNS = "host, port, user_name, host_key, folder, pattern, afterwards, done_folder, poll_seconds"
_SET = text(f"""
    insert into ingest.sftp_pulls (submitter_id, feed, {_COLUMNS}, secret_kind, wrapped_secret)
    values (:submitter_id, :feed, :{_COLUMNS.replace(", ", ", :")}, :secret_kind, :wrapped_secret)
    on conflict (submitter_id, feed) do update set ({_COLUMNS}, secret_kind, wrapped_secret, changed_at,
        failing_since, failure) = (excluded.{_COLUMNS.replace(", ", ", excluded.")}, excluded.secret_kind,
        excluded.wrapped_secret, now(), null, null)
""")
_FEED = text("select 1 from ingest.feeds where submitter_id = :submitter_id and name = :feed")
_REMOVE = text("""
    delete from ingest.sftp_pulls where submitter_id = :submitter_id and feed = :feed returning 1
""")
_LIST = text("""
    select * from ingest.sftp_pulls where submitter_id = any (cast(:submitters as uuid[]))
    order by submitter_id, feed
""")
_WENT_WELL = text("""
    update ingest.sftp_pulls set pulled_at = now(), failing_since = null, failure = null
    where submitter_id = :submitter_id and feed = :feed
""")
_FAILED = text("""
    update ingest.sftp_pulls set failing_since = coalesce(failing_since, now()), failure = :failure
    where submitter_id = :submitter_id and feed = :feed
""")
_KNOWN = text("""
    select fingerprint from ingest.sftp_pulled where submitter_id = :submitter_id and feed = :feed
        and fingerprint = any (cast(:fingerprints as bytea[]))
""")
_SEEN = text("""
    update ingest.sftp_pulled set pulled_at = now() where submitter_id = :submitter_id and feed = :feed
        and fingerprint = any (cast(:fingerprints as bytea[])) and pulled_at < now() - interval '1 day'
""")
_FORGET = text("""
    delete from ingest.sftp_pulled where submitter_id = :submitter_id and feed = :feed
        and pulled_at < now() - interval '90 days'
""")
_REMEMBER = text("""
    insert into ingest.sftp_pulled (submitter_id, feed, fingerprint)
    values (:submitter_id, :feed, :fingerprint) on conflict do nothing
""")


async def set_pull(
    engine: AsyncEngine,
    master_key: MasterKey,
    *,
    submitter_id: UUID,
    feed: str,
    place: SftpPlace,
    secret_kind: SecretKind,
    secret: bytes,
) -> None:
    """Have a feed fetched from this place. Raises NotFoundError for an unknown feed."""
    row = {
        "submitter_id": submitter_id,
        "feed": feed,
        **{name: getattr(place, name) for name in _COLUMNS.split(", ")},
        "secret_kind": secret_kind,
        "wrapped_secret": master_key.wrap(secret, context=sftp_secret_context(submitter_id, feed)),
    }
    async with transaction(engine, submitters=[submitter_id]) as connection:
        if await connection.scalar(_FEED, row) is None:
            raise no_such_feed()
        await connection.execute(_SET, row)


async def remove_pull(engine: AsyncEngine, *, submitter_id: UUID, feed: str) -> None:
    """Fetch a feed no more. Raises NotFoundError when it was not fetched."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        if await connection.scalar(_REMOVE, {"submitter_id": submitter_id, "feed": feed}) is None:
            raise NotFoundError(
                "The feed is not fetched from anywhere.", remedy="`reprieve feeds sftp list` shows which are."
            )


async def list_pulls(engine: AsyncEngine, *, submitters: Collection[UUID]) -> list[SftpPull]:
    """Give the feeds of these submitters that are fetched."""
    async with transaction(engine, submitters=submitters) as connection:
        found = await connection.execute(_LIST, {"submitters": list(submitters)})
        return [_read(row) for row in found]


async def all_pulls(engine: AsyncEngine) -> list[SftpPull]:
    """Give all feeds that are fetched."""
    async with transaction(engine) as connection:
        submitters = list((await connection.execute(_SUBMITTERS)).scalars())
    return await list_pulls(engine, submitters=submitters)


async def note_success(engine: AsyncEngine, pull: SftpPull) -> None:
    """Keep in mind that the place answered and everything there was fetched."""
    async with transaction(engine, submitters=[pull.submitter_id]) as connection:
        await connection.execute(_WENT_WELL, _ids(pull))


async def note_failure(engine: AsyncEngine, pull: SftpPull, failure: str) -> None:
    """Keep in mind that, and since when, fetching fails."""
    async with transaction(engine, submitters=[pull.submitter_id]) as connection:
        await connection.execute(_FAILED, {**_ids(pull), "failure": failure})


async def fetched_before(
    engine: AsyncEngine, pull: SftpPull, fingerprints: Collection[bytes]
) -> frozenset[bytes]:
    """Give those of these files that were fetched already; what was not asked for in 90 days is forgotten."""
    asked = {**_ids(pull), "fingerprints": list(fingerprints)}
    async with transaction(engine, submitters=[pull.submitter_id]) as connection:
        await connection.execute(_SEEN, asked)
        await connection.execute(_FORGET, asked)
        found = await connection.execute(_KNOWN, asked)
        return frozenset(bytes(one) for one in found.scalars())


async def remember_fetched(engine: AsyncEngine, pull: SftpPull, fingerprint: bytes) -> None:
    """Keep in mind that a file lies in the drop folder."""
    async with transaction(engine, submitters=[pull.submitter_id]) as connection:
        await connection.execute(_REMEMBER, {**_ids(pull), "fingerprint": fingerprint})


def sftp_secret_context(submitter_id: UUID, feed: str) -> bytes:
    """Bind a wrapped secret to its feed."""
    return b"reprieve sftp secret " + submitter_id.bytes + feed.encode()


def _ids(pull: SftpPull) -> dict[str, Any]:
    return {"submitter_id": pull.submitter_id, "feed": pull.feed}


def _read(row: Any) -> SftpPull:
    return SftpPull(
        submitter_id=UUID(bytes=row.submitter_id.bytes),
        feed=row.feed,
        place=SftpPlace(**{name: getattr(row, name) for name in _COLUMNS.split(", ")}),
        secret_kind=row.secret_kind,
        wrapped_secret=row.wrapped_secret,
        changed_at=row.changed_at,
        pulled_at=row.pulled_at,
        failing_since=row.failing_since,
        failure=row.failure,
    )
