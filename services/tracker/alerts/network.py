"""
The way out: destinations that organizations name are looked up once, judged, and reached at what was judged.

Whoever may create a channel could otherwise have this installation speak to its own inside. So a name is
resolved by us, every address that it has must be public, and the connection goes to that very address: a
name that answers otherwise a moment later changes nothing. No redirects, no proxies of the environment, one
time limit for all of an answer, and no more of its body than is needed to read an error.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import httpx2

from services.tracker.alerts.domain.outcomes import DestinationError
from shared import clock
from shared.errors import InvalidInputError

ANSWER_BYTES_MAX = 16 * 1024
_ADDRESSES_TRIED = 3
_URL_CHARACTERS_MAX = 2000
_PORT_MAX = 65_535

_HOST = re.compile(r"[a-z0-9._:-]+")

_NEVER = tuple(
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.0/24",  # special purposes, a cloud's metadata among them; Python knows parts of it only
        "168.63.129.16/32",  # Azure's wire server: a public address that answers inside only
        "64:ff9b::/96",  # NAT64, 6to4 and Teredo carry any IPv4 address
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "192.88.99.0/24",
    )
)


class RefusedDestinationError(InvalidInputError):
    """The destination is not one that this installation speaks to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `body` is its beginning. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_seconds(self) -> float | None:
        """Read Retry-After: seconds, or an instant (RFC 9110, 10.2.3); None for anything else."""
        return read_retry_after(self.headers.get("retry-after"), clock.now())


def read_retry_after(text: str | None, at: datetime) -> float | None:
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - at).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """`allow_hosts`: shell patterns of names that the operator lets through, whatever their addresses."""

    allow_hosts: Sequence[str] = ()
    timeout_seconds: float = 15.0
    verify: ssl.SSLContext | None = field(default=None, repr=False)

    def allows(self, host: str) -> bool:
        """Tell whether the operator lets this name through."""
        return any(fnmatchcase(host.lower(), pattern.lower()) for pattern in self.allow_hosts)

    def check_url(self, url: str) -> httpx2.URL:
        """
        Raise RefusedDestinationError for what can be no destination, whoever it belongs to.

        Plain HTTP goes to hosts that the operator allowed, and to nobody else.
        """
        try:
            parsed = httpx2.URL(url)
        except (httpx2.InvalidURL, TypeError):
            raise _refused("url_unreadable") from None
        host = parsed.host
        if (
            not is_host(parsed.raw_host.decode("ascii"))
            or len(url) > _URL_CHARACTERS_MAX
            or parsed.userinfo
            or parsed.fragment
        ):
            raise _refused("url_unreadable")
        if parsed.port is not None and not 0 < parsed.port <= _PORT_MAX:
            raise _refused("url_unreadable")
        if parsed.scheme != "https" and not (parsed.scheme == "http" and self.allows(host)):
            raise _refused("not_https")
        return parsed

    async def addresses(self, host: str, port: int) -> list[str]:
        """
        Look a name up and give its addresses, all of them judged.

        Raises RefusedDestinationError when one of them is not public, DestinationError when there is none.
        """
        try:
            async with asyncio.timeout(self.timeout_seconds):
                found = await _look_up(host, port)
        except TimeoutError:
            raise DestinationError("timed_out") from None
        except (OSError, ValueError, OverflowError):
            raise DestinationError("name_unknown") from None
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not self.allows(host) and not all(is_public(one) for one in addresses):
            raise _refused("address_refused")
        return addresses

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer:
        """
        Send a POST and give the answer, whatever its status.

        Raises RefusedDestinationError, and DestinationError with a code when there was no whole answer.
        """
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await self._post(self.check_url(url), content=content, headers=headers)
        except (TimeoutError, httpx2.TimeoutException):
            raise DestinationError("timed_out") from None
        except httpx2.ConnectError as error:
            raise DestinationError("tls_failed" if "CERT" in str(error) else "not_connected") from None
        except (httpx2.TransportError, OSError):
            raise DestinationError("broke_off") from None

    async def _post(self, url: httpx2.URL, *, content: bytes, headers: Mapping[str, str]) -> Answer:
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = (await self.addresses(url.host, port))[:_ADDRESSES_TRIED]
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, url, content=content, headers=headers)
            except httpx2.ConnectError:
                continue
        return await self._post_to(addresses[-1], url, content=content, headers=headers)

    async def _post_to(
        self, address: str, url: httpx2.URL, *, content: bytes, headers: Mapping[str, str]
    ) -> Answer:
        # A client for each: a connection that is kept was made for one name, and its address may have others.
        async with (
            httpx2.AsyncClient(
                verify=self.verify or _trust(),
                trust_env=False,
                follow_redirects=False,
                timeout=self.timeout_seconds,
            ) as client,
            client.stream(
                "POST",
                url.copy_with(host=address),
                content=content,
                headers={"User-Agent": "Reprieve", **headers, "Host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": url.host},
            ) as response,
        ):
            return Answer(response.status_code, dict(response.headers.items()), await _beginning(response))

    async def connect(self, host: str, port: int) -> socket.socket:
        """Open a connection to a judged address. Raises as post() does; the caller closes it."""
        loop = asyncio.get_running_loop()
        for address in (await self.addresses(host, port))[:_ADDRESSES_TRIED]:
            opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            opened.setblocking(False)
            try:
                async with asyncio.timeout(self.timeout_seconds):
                    await loop.sock_connect(opened, (address, port))
            except OSError:
                opened.close()
            except BaseException:
                opened.close()
                raise
            else:
                return opened
        raise DestinationError("not_connected")


def is_host(text: str) -> bool:
    """Tell whether a text can be a host's name or address."""
    return _HOST.fullmatch(text) is not None


def is_public(address: str) -> bool:
    """Tell whether an address is one of the open Internet; a mapped one is judged by what it carries."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip.is_site_local:
            return False
    return (
        ip.is_global
        and not ip.is_multicast
        and not ip.is_reserved
        and not any(ip in network for network in _NEVER)
    )


_looking: dict[tuple[str, int], Future[list[Any]]] = {}


async def _look_up(host: str, port: int) -> list[Any]:
    """
    Ask the system's resolver, for each name in a thread of its own.

    It cannot be interrupted, and waits half a minute for servers that do not answer: the loop's own threads
    are few, and a few such names would hold all of them. Who asks again meanwhile waits for the same answer,
    so that a name never holds more than one thread; and none keeps the process from ending.
    """
    asked = (host, port)
    answer = _looking.get(asked)
    if answer is None:
        answer = _looking[asked] = Future()
        threading.Thread(target=_resolve, args=(asked, answer), name="resolver", daemon=True).start()
    return await asyncio.shield(asyncio.wrap_future(answer))


def _resolve(asked: tuple[str, int], answer: Future[list[Any]]) -> None:
    try:
        found = socket.getaddrinfo(*asked, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001  whoever waits for it judges it
        del _looking[asked]
        answer.set_exception(error)
    else:
        del _looking[asked]
        answer.set_result(found)


async def _beginning(response: httpx2.Response) -> bytes:
    """Read raw bytes, so that a small answer cannot unfold into a large one."""
    body = b""
    async for block in response.aiter_raw():
        body += block
        if len(body) >= ANSWER_BYTES_MAX:
            break
    return body[:ANSWER_BYTES_MAX]


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


_REASONS = {
    "url_unreadable": "It is no URL of a host, or names a user or a fragment.",
    "not_https": "It is not https.",
    "address_refused": "Its name leads to an address that is not public.",
}


def _refused(code: str) -> RefusedDestinationError:
    error = RefusedDestinationError(
        f"This destination is refused: {_REASONS[code]}",
        remedy="Name a public https address, or have the operator add it to REPRIEVE_ALERTS_ALLOW_HOSTS.",
    )
    error.slug = "destination-refused"
    return error
