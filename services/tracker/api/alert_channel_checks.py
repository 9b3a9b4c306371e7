"""Are these settings and this secret of a channel any good? Judged before they are kept."""

import asyncio
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from services.tracker.alerts.channels.kind import Kind
from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.outcomes import DestinationError
from services.tracker.alerts.network import Network
from shared.errors import InvalidInputError

_LOOK_UP_SECONDS = 5.0
_NO_LETTERS = frozenset({"Cc", "Cs"})


async def checked_settings(kind: Kind, settings: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Give the settings with their defaults. Raises InvalidInputError that names the field, never a value."""
    if any(unicodedata.category(letter) in _NO_LETTERS for text in _texts(settings) for letter in text):
        raise InvalidInputError(
            "A setting holds a control character, or half of one.",
            remedy="Send it without.",
            errors=[("settings", "control")],
        )
    try:
        read = msgspec.convert(settings, kind.settings)
    except msgspec.ValidationError:
        # The library's words may name a field that the caller made up.
        known = ", ".join(kind.settings.__struct_fields__)
        raise InvalidInputError(
            "The settings are not those of this kind of channel.",
            remedy="docs/alert-channels.md lists what each takes.",
            errors=[("settings", f"its settings are {known}")],
        ) from None
    kept = dict(msgspec.to_builtins(read))
    place = kind.check(read, network)
    if place is not None:
        await _judge(*place, network)
    return kept


async def checked_secret(kind: Kind, secret: str | None, network: Network) -> str | None:
    """Give the secret, or one made here. Raises InvalidInputError for a missing or wrong one."""
    if secret is None:
        if kind.make_secret is not None:
            return kind.make_secret()
        if kind.needs_secret:
            raise InvalidInputError(
                "This kind of channel needs a secret.",
                remedy="docs/alert-channels.md says which, and where it is found.",
            )
        return None
    url = kind.check_secret(secret)
    if url is not None:
        parsed = network.check_url(url)
        await _judge(parsed.host, parsed.port or 443, network)
    return secret


def kind_of(name: str) -> Kind:
    return KINDS[name]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


async def _judge(host: str, port: int, network: Network) -> None:
    """Refuse inner addresses at once. A name that is unknown now is looked up again at every attempt."""
    try:
        async with asyncio.timeout(_LOOK_UP_SECONDS):
            await network.addresses(host, port)
    except (DestinationError, TimeoutError):
        return
