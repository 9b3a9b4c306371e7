"""
The pool of validator processes, as the worker sees it.

A process is started when it is needed, kept while it answers, and ended when it does not: then the file is
looked at once more for its envelope alone, and the verdict says that conformance was cut short.
"""

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice

import msgspec
import structlog

from services.ingest.acknowledgments.validator import Answer, framed
from services.ingest.acknowledgments.verdicts import FileVerdict, Limits
from shared.errors import ReprieveError, UnavailableError

_AT_ONCE = 2
_GATHERED_BLOCKS = 16  # read from the vault in one go off the event loop
_ANSWER_BYTES_MAX = 64 * 1024 * 1024
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT")  # of the environment: no keys, no addresses
_MODULE = "services.ingest.acknowledgments.validator"
_LENGTH = struct.Struct(">I")

log = structlog.get_logger()

Blocks = Callable[[], Iterator[bytes]]
"""Opens a file anew and gives its blocks; blocks the calling thread."""


class ValidatorError(ReprieveError):
    """No process could judge a file, not even its envelope."""


class _LostError(Exception):
    """A process ended, or was ended, without an answer."""


class Validators:
    """
    At most two processes. Close it when done.

    `wall_seconds` bounds one look at one file, however little of the processor the process gets.
    """

    def __init__(self, *, limits: Limits | None = None, wall_seconds: float = 600.0) -> None:
        self._limits = limits or Limits()
        self._wall_seconds = wall_seconds
        self._idle: list[asyncio.subprocess.Process] = []
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def inspect(self, blocks: Blocks) -> FileVerdict:
        """Judge a file. Raises ValidatorError, UnavailableError, and what reading the file raises."""
        async with self._turns:
            try:
                return await self._ask(blocks, self._limits)
            except _LostError as error:
                log.warning("validator_lost", reason=str(error))
            try:
                verdict = await self._ask(blocks, msgspec.structs.replace(self._limits, conformance_bytes=0))
            except _LostError as error:
                raise ValidatorError("The file's envelope cannot be judged.") from error
            return msgspec.structs.replace(verdict, cut_short="failed", sets_checked=0)

    async def close(self) -> None:
        """End all processes. Nobody may be waiting for one."""
        while self._idle:
            await _end(self._idle.pop())

    async def _ask(self, blocks: Blocks, limits: Limits) -> FileVerdict:
        process = self._idle.pop() if self._idle else await _start()
        try:
            async with asyncio.timeout(self._wall_seconds):
                answer = await _converse(process, blocks, limits)
        except BaseException as error:
            await asyncio.shield(_end(process))
            if isinstance(error, TimeoutError):
                raise _LostError("time") from error
            if isinstance(error, (ConnectionError, asyncio.IncompleteReadError)):
                raise _LostError("crash") from error
            raise
        self._idle.append(process)
        if answer.verdict is None:
            raise _LostError(answer.failed or "unknown")
        return answer.verdict


async def _start() -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            _MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a traceback may show values
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the worker, which ends its processes itself
        )
    except OSError as error:  # no memory or no place for another process: not the file's fault
        raise UnavailableError("No validator process can be started.", remedy="It is tried again.") from error


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _converse(process: asyncio.subprocess.Process, blocks: Blocks, limits: Limits) -> Answer:
    source, out = process.stdin, process.stdout
    if source is None or out is None:
        raise AssertionError  # both are pipes
    source.write(framed(msgspec.json.encode(limits)))
    async for gathered in _gathered(blocks):
        source.write(b"".join(framed(block) for block in gathered if block))
        await source.drain()
    source.write(framed(b""))
    await source.drain()
    length = _LENGTH.unpack(await out.readexactly(_LENGTH.size))[0]
    if length > _ANSWER_BYTES_MAX:
        raise ConnectionAbortedError
    return msgspec.json.decode(await out.readexactly(length), type=Answer)


async def _gathered(blocks: Blocks) -> AsyncIterator[list[bytes]]:
    """Give a file's blocks some at a time, read in a thread."""
    opened = await asyncio.to_thread(blocks)
    while gathered := await asyncio.to_thread(_next, opened):
        yield gathered


def _next(opened: Iterator[bytes]) -> list[bytes]:
    return list(islice(opened, _GATHERED_BLOCKS))
