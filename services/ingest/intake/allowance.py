"""
How much one key may push: requests and bytes a minute, so that one sender cannot crowd out the others.

Counted in this process: several ingest-api processes allow so many times as much.
"""

import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from shared.errors import UnavailableError

_KIB = 1024


class TooMuchError(UnavailableError):
    """A key pushes more than it may; it is told when to go on."""

    status = 429
    slug = "too-many-requests"


class Allowance:
    """Counts what each key pushes within a minute of the clock."""

    def __init__(self, *, requests_per_minute: int, bytes_per_minute: int) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(requests_per_minute, namespace="requests")
        self._kibibytes = RateLimitItemPerMinute(-(-bytes_per_minute // _KIB), namespace="kibibytes")

    async def take(self, caller: str) -> None:
        """Count a request. Raises TooMuchError when requests or bytes of this minute are used up."""
        if not await self._limiter.test(self._kibibytes, caller):
            raise await self._refusal(self._kibibytes, caller, "bytes")
        if not await self._limiter.hit(self._requests, caller):
            raise await self._refusal(self._requests, caller, "requests")

    async def charge(self, caller: str, size_bytes: int) -> None:
        """Count the bytes that came; a body that was let in may pass the limit, the next one waits."""
        await self._limiter.hit(self._kibibytes, caller, cost=size_bytes // _KIB + 1)

    async def _refusal(self, item: RateLimitItemPerMinute, caller: str, what: str) -> TooMuchError:
        stats = await self._limiter.get_window_stats(item, caller)
        limit = item.amount * (_KIB if item is self._kibibytes else 1)
        error = TooMuchError(
            f"This key may push {limit:,} {what} a minute, and has.",
            remedy="Go on when Retry-After has passed: nothing of this request was kept.",
        )
        error.retry_after_seconds = max(1, int(stats.reset_time - time.time()) + 1)
        return error
