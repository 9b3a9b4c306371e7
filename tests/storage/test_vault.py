"""What goes into the vault comes out, in any part; what was touched does not come out at all."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidInputError, UnreadableError
from shared.security.sealing import MasterKey
from shared.storage import objects
from shared.storage.objects import StorageFullError
from shared.storage.vault import CHUNK_BYTES, StoredFile, Vault

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
    return vault.objects.folder / stored.storage_key[:2] / stored.storage_key


def raw_files(vault: Vault) -> list[Path]:
    return [path for path in vault.objects.folder.rglob("*") if path.is_file()]


def contents(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
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


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
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

    assert raw_files(vault) == []


def test_a_full_disk_is_said_and_nothing_is_kept(vault: Vault, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(objects.os, "fsync", full)
    for size in (100, 2 * CHUNK_BYTES, 20 * CHUNK_BYTES):
        with pytest.raises(StorageFullError) as caught:
            keep(vault, contents(size))
        assert caught.value.status == 507

    assert raw_files(vault) == []


@pytest.mark.parametrize("size", [200 * 1024, 3_000_000])
def test_a_disk_that_takes_no_more_bytes_is_said_and_nothing_is_kept(tmp_path: Path, size: int):
    """The file size limit of a process of its own stands for the end of the disk."""
    program = f"""
import resource, sys
from pathlib import Path
from shared.storage.objects import StorageFullError
from shared.storage.vault import Vault
from shared.security.sealing import MasterKey
vault = Vault(Path({str(tmp_path / "raw")!r}), MasterKey(bytes(32)))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = vault.writer()
try:
    for _ in range({size} // 50_000):
        writer.write(bytes(50_000))
    writer.keep()
except StorageFullError:
    writer.discard()
    sys.exit(7)
"""
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)

    assert ended.returncode == 7
    assert [path for path in (tmp_path / "raw").rglob("*") if path.is_file()] == []


def test_only_abandoned_uploads_are_swept(vault: Vault):
    incoming = vault.objects.folder / "incoming"
    (incoming / "abandoned#1").write_bytes(b"1")
    (incoming / "current#1").write_bytes(b"1")
    os.utime(incoming / "abandoned#1", (0, 0))
    vault.sweep()

    assert [path.name for path in incoming.iterdir()] == ["current#1"]


def test_a_reader_in_order_asks_seldom_and_a_reader_of_one_claim_little(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
):
    content = contents(40 * CHUNK_BYTES)
    stored = keep(vault, content)
    asked: list[int] = []
    real = vault.objects.read
    monkeypatch.setattr(vault.objects, "read", lambda *range_: (asked.append(range_[2]), real(*range_))[1])
    with vault.open(stored) as reader:
        assert b"".join(reader.blocks()) == content
        assert len(asked) == 3
        asked.clear()
        assert reader.read(20 * CHUNK_BYTES + 5, 10) == content[20 * CHUNK_BYTES + 5 : 20 * CHUNK_BYTES + 15]
        assert asked == [SEALED]


def test_only_places_that_keep_files_are_taken():
    for url in ("memory:///", "http://example.com/raw", "ftp://x/y", ""):
        with pytest.raises(InvalidInputError):
            Vault(url, MasterKey(bytes(32)))


def test_a_file_url_is_a_folder(tmp_path: Path):
    vault = Vault(f"file://{tmp_path}/raw", MasterKey(bytes(32)))
    stored = keep(vault, contents(10))

    with Vault(tmp_path / "raw", MasterKey(bytes(32))).open(stored) as reader:
        assert reader.read(0, 10) == contents(10)
