"""What is shown and taken of feeds."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from services.ingest.store.feeds import Acknowledgment, Feed, TestFiles

_ALIASES_MAX = 500

_Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[ -~]+$")
]
_Cadence = Annotated[int | None, Field(ge=1, le=8784, description="A file is expected this often, in hours.")]


def _in_capitals(aliases: Mapping[str, str]) -> dict[str, str]:
    return {sent.upper(): known for sent, known in aliases.items()}


_Aliases = Annotated[
    dict[_Text, _Text],
    Field(
        max_length=_ALIASES_MAX,
        description="A payer's name or id as this feed sends it, to a name or id that a policy knows.",
    ),
    AfterValidator(_in_capitals),
]


class NewFeed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    cadence_hours: _Cadence = None
    acknowledgment: Acknowledgment = "negative"
    test_files: TestFiles = "separate"
    payer_aliases: _Aliases = {}


class FeedChanges(BaseModel):
    """What is left out stays as it is; `payer_aliases` replaces the whole list."""

    model_config = ConfigDict(extra="forbid")

    cadence_hours: _Cadence = None
    acknowledgment: Acknowledgment = "negative"
    test_files: TestFiles = "separate"
    payer_aliases: _Aliases = {}


class SecretView(BaseModel):
    secret_id: UUID
    created_at: AwareDatetime


class FeedSecret(BaseModel):
    """A new signing secret of the Standard Webhooks scheme. `secret` is shown this once."""

    secret_id: UUID
    secret: str


class FetchedView(BaseModel):
    """
    How fetching from an SFTP server goes. `failing_since` null: the last time went well.

    `failure` is one word: host_key_changed, login_refused, folder_refused, broken_off, unreachable,
    secret_lost or defect.
    """

    host: str
    pulled_at: AwareDatetime | None
    failing_since: AwareDatetime | None
    failure: str | None


class FeedView(BaseModel):
    """
    A feed. `silent`: nothing came for longer than `cadence_hours`; without a cadence it is never true.

    `signing_secrets` not empty: requests must be signed.
    """

    submitter_id: UUID
    name: str
    created_at: AwareDatetime
    cadence_hours: int | None
    acknowledgment: Acknowledgment
    test_files: TestFiles
    payer_aliases: dict[str, str]
    signing_secrets: list[SecretView]
    last_received_at: AwareDatetime | None
    silent_for_hours: float
    silent: bool
    fetched: FetchedView | None = None
    created: bool | None = None


class FeedList(BaseModel):
    data: list[FeedView]


def view_feed(feed: Feed, as_of: datetime, *, created: bool | None = None) -> FeedView:
    """Show a feed as it stands at an instant. `created` tells whether this request opened it."""
    settings = feed.settings
    return FeedView(
        submitter_id=feed.submitter_id,
        name=feed.name,
        created_at=feed.created_at,
        cadence_hours=settings.cadence_hours,
        acknowledgment=settings.acknowledgment,
        test_files=settings.test_files,
        payer_aliases=dict(settings.payer_aliases),
        signing_secrets=[SecretView(secret_id=one, created_at=made) for one, made in feed.secrets],
        last_received_at=feed.last_received_at,
        silent_for_hours=round(feed.silence(as_of).total_seconds() / 3600, 2),
        silent=feed.is_silent(as_of),
        fetched=FetchedView(**asdict(feed.fetched)) if feed.fetched else None,
        created=created,
    )
