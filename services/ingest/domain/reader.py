"""Bytes to claims, in one forward pass: see `read`."""

from collections.abc import Iterable, Iterator

from services.ingest.domain.remittance import ReaderItem


def read(blocks: Iterable[bytes]) -> Iterator[ReaderItem]:
    """
    Read the 835s of a file, in order, from blocks of any size; never raises on bad input.

    Per transaction set: SetOpened, then ClaimRead or ClaimQuarantined as they end, then SetClosed.
    FileClosed comes last, always. Memory does not grow with the file.
    """
    raise NotImplementedError
