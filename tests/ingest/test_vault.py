"""What goes into the vault comes out, in any part; what was touched does not come out at all."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.store import vault as vaults
from services.ingest.store.vault import CHUNK_BYTES, StorageFullError, StoredFile, Vault
from shared.errors import UnreadableError
from shared.security.sealing import MasterKey

SEALED = CHUNK_BYTES + 16
EDGES = [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "raw", MasterKey(bytes(32)))


def keep(vault: Vault, content: bytes, *, cuts: list[int] | None = None) -> StoredFile:
    writer = vault.writer()
    start = 0
    for cut in sorted(cuts or []):
        writer.write(content[start:cut])
        start = max(start, cut)
    writer.write(content[start:])
    return writer.keep()


def path_of(vault: Vault, stored: StoredFile) -> Path:
    return vault._folder / stored.storage_key[:2] / stored.storage_key


def contents(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), size=st.sampled_from(EDGES) | st.integers(1, 3 * CHUNK_BYTES))
def test_any_chunking_gives_the_same_bytes_and_any_range_of_them(
    vault: Vault, data: st.DataObject, size: int
):
    content = contents(size)
    cuts = data.draw(st.lists(st.integers(0, size), max_size=5))
    offset = data.draw(st.integers(0, size + 5))
    length = data.draw(st.integers(0, size + 5))

    with vault.open(keep(vault, content, cuts=cuts)) as reader:
        assert b"".join(reader.blocks()) == content
        assert reader.read(offset, length) == content[offset : offset + length]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), size=st.sampled_from(EDGES))
def test_a_changed_byte_is_noticed(vault: Vault, data: st.DataObject, size: int):
    stored = keep(vault, contents(size))
    path = path_of(vault, stored)
    sealed = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(sealed)

    with pytest.raises(UnreadableError), vault.open(stored) as reader:
        list(reader.blocks())


def test_chunks_that_were_exchanged_are_noticed(vault: Vault):
    stored = keep(vault, contents(3 * CHUNK_BYTES))
    path = path_of(vault, stored)
    sealed = path.read_bytes()
    path.write_bytes(sealed[SEALED : 2 * SEALED] + sealed[:SEALED] + sealed[2 * SEALED :])

    with pytest.raises(UnreadableError), vault.open(stored) as reader:
        list(reader.blocks())


@pytest.mark.parametrize("kept_chunks", [1, 2])
def test_a_file_cut_at_a_chunk_is_noticed_even_if_its_receipt_was_changed_to_match(
    vault: Vault, kept_chunks: int
):
    stored = keep(vault, contents(3 * CHUNK_BYTES))
    path = path_of(vault, stored)
    path.write_bytes(path.read_bytes()[: kept_chunks * SEALED])
    shortened = StoredFile(stored.storage_key, stored.wrapped_key, kept_chunks * CHUNK_BYTES)

    for seen in (stored, shortened):
        with pytest.raises(UnreadableError), vault.open(seen) as reader:
            list(reader.blocks())


def test_a_chunk_of_another_file_does_not_open(vault: Vault):
    mine, theirs = keep(vault, contents(100)), keep(vault, contents(100))
    shutil.copy(path_of(vault, theirs), path_of(vault, mine))

    with pytest.raises(UnreadableError), vault.open(mine) as reader:
        list(reader.blocks())


def test_the_sealed_file_shows_nothing_of_its_content(vault: Vault):
    stored = keep(vault, b"CLP*PATIENT-CONTROL-NUMBER*4*1200~" * 100)

    assert b"PATIENT-CONTROL" not in path_of(vault, stored).read_bytes()


def test_a_file_that_is_not_kept_leaves_nothing_behind(vault: Vault):
    writer = vault.writer()
    writer.write(contents(CHUNK_BYTES * 2))
    writer.discard()

    assert [path for path in vault._folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("broken", ["fsync", "write"])
def test_a_full_disk_is_said_and_nothing_is_kept(vault: Vault, monkeypatch: pytest.MonkeyPatch, broken: str):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = vault.writer()
    if broken == "fsync":
        monkeypatch.setattr(vaults.os, "fsync", full)
    else:
        real = writer._file

        class FullDisk:
            write = staticmethod(full)
            close = staticmethod(real.close)

        writer._file = FullDisk()  # type: ignore[assignment]

    with pytest.raises(StorageFullError) as caught:  # noqa: PT012  either step may be the one
        writer.write(contents(2 * CHUNK_BYTES))
        writer.keep()

    assert caught.value.status == 507
    assert [path for path in vault._folder.rglob("*") if path.is_file()] == []


def test_only_abandoned_uploads_are_swept(vault: Vault):
    abandoned, current = vault.writer(), vault.writer()
    os.utime(abandoned._path, (0, 0))
    vault.sweep()

    assert not abandoned._path.exists()
    assert current._path.exists()
    abandoned.discard()
    current.discard()
