"""
The validator process: reads one file after the other from its standard input, writes a verdict for each.

It has no keys, no database and no log: what it says is a verdict, without values of the file, or the class of
an error. A file that makes it hang or swell ends it: from outside (validators.py), or by the limits that it
sets on itself.

A message is four bytes of length and as many bytes. A job: limits, blocks of the file, then one of no bytes.
"""

import logging
import os
import resource
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from services.ingest.acknowledgments.inspecting import inspect
from services.ingest.acknowledgments.verdicts import FileVerdict, Limits

MEMORY_BYTES = 512 * 1024 * 1024
"""Address space of a validator: 30 MB are usual, so this is for a hostile file."""

_LENGTH = struct.Struct(">I")
_SPARE_SECONDS = 120  # for the envelope pass behind the conformance limit


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A verdict, or the class of the error that prevented it."""

    verdict: FileVerdict | None = None
    failed: str | None = None


def framed(message: bytes) -> bytes:
    return _LENGTH.pack(len(message)) + message


def main() -> None:
    """Serve until the input ends, that is until the worker goes or hangs up."""
    os.nice(19)  # denials come first
    logging.disable(logging.CRITICAL)  # pyx12's loggers repeat values
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold patients' data
    source, out = sys.stdin.buffer, sys.stdout.buffer
    while (limits := _receive(source)) is not None:
        answer = _answer(msgspec.json.decode(limits, type=Limits), source)
        out.write(framed(msgspec.json.encode(answer)))
        out.flush()


def _answer(limits: Limits, source: BinaryIO) -> Answer:
    _allow_processor(limits.seconds)
    blocks = _blocks(source)
    try:
        return Answer(verdict=inspect(blocks, limits))
    except MemoryError:
        raise  # nothing can be relied on any more: end, and let the worker notice
    except Exception as error:  # noqa: BLE001  it is told by its class, and the process may go on
        return Answer(failed=type(error).__name__)
    finally:
        for _ in blocks:  # what was not read of this file must not be taken for the next
            pass


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    while block := _receive(source):
        yield block


def _receive(source: BinaryIO) -> bytes | None:
    """Read a message; None at the end of the input."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return source.read(_LENGTH.unpack(head)[0])


def _allow_processor(seconds: float) -> None:
    """Let the kernel end this process where the clock is not looked at: inside one segment, say."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    used = int(spent.ru_utime + spent.ru_stime)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + int(seconds) + _SPARE_SECONDS, hard))


if __name__ == "__main__":
    main()
