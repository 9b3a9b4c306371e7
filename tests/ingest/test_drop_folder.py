"""A file that is dropped is taken once it is complete, whatever its name, and put away once it is read."""

import asyncio
import gzip
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import zstandard
from prometheus_client import REGISTRY

from services.ingest.intake import drop_folder
from services.ingest.intake.drop_folder import DropFolder, safe_name
from services.ingest.store.drop_feeds import set_marker
from services.ingest.workers import drop_round
from services.ingest.workers.dropping import Dropping, DropRules
from shared.clock import now
from shared.http.probes import Health
from shared.postgres import lock_session
from tests.ingest.processes import serve, until
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import MAX_UPLOAD_BYTES, Site
from tests.support.brokers import Broker, EmbeddedBroker
from tests.support.database import Database

FILE = remittance(TestSet([denied("A1")]))
SUBMITTER = "Clearinghouse One"


class Box:
    """A drop folder of the site's feed `main`, and the worker that looks after it."""

    def __init__(self, site: Site, root: Path, *, stable_seconds: float = 0.0, **rules) -> None:
        self.site = site
        self.path = root / SUBMITTER / "main"
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "inbound").mkdir(exist_ok=True)
        self.rules = DropRules(
            root=root, max_bytes=MAX_UPLOAD_BYTES, stable_seconds=stable_seconds, keep_days=30, **rules
        )
        self.restart()

    def restart(self) -> None:
        """Forget everything that only a process knows."""
        self.worker = Dropping(self.site.engine, self.site.vault, self.rules, Health())

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            async with lock_session(self.site.engine, "drop folder") as locks:
                self.worker._held.clear()
                await self.worker.look(locks, asyncio.Event())

    async def take_in(self) -> None:
        """Look, read what was taken, and look again."""
        await self.look(2)
        await self.site.read_due()
        await self.look()

    def drop(self, name: str, content: bytes = FILE) -> Path:
        path = self.path / "inbound" / name
        path.write_bytes(content)
        return path

    def names(self, folder: str) -> list[str]:
        return sorted(
            str(path.relative_to(self.path / folder))
            for path in (self.path / folder).rglob("*")
            if not path.is_dir() or path.is_symlink()
        )

    async def receipts(self) -> list:
        return await self.site.rows(
            "select * from ingest.receipts where submitter_id = :submitter order by received_at",
            submitter=self.site.submitter_id,
        )


@pytest.fixture
def box(site: Site, tmp_path: Path) -> Box:
    return Box(site, tmp_path / "drop")


async def test_a_dropped_file_is_taken_read_and_archived(site: Site, box: Box):
    box.drop("era 0301.835")
    await box.look(2)
    (receipt,) = await box.receipts()
    (waiting,) = box.names("processing")

    assert waiting.startswith(f"{receipt.receipt_id}~")
    assert (receipt.feed, receipt.file_name, receipt.size_bytes) == ("main", "era_0301.835", len(FILE))
    assert box.names("inbound") == []

    await site.read_due()
    await box.look()
    (archived,) = box.names("archive")
    assert re.fullmatch(r"\d{4}/\d{2}/\d{8}T\d{6}Z-[0-9a-f]{8}-era_0301\.835", archived)
    assert (box.path / "archive" / archived).read_bytes() == FILE
    assert box.names("processing") == []
    assert len(await site.events()) == 1


async def test_the_folder_may_be_called_by_the_submitters_id(site: Site, tmp_path: Path):
    box = Box(site, tmp_path / "drop")
    (tmp_path / "drop" / SUBMITTER).rename(tmp_path / "drop" / str(site.submitter_id))
    box.path = tmp_path / "drop" / str(site.submitter_id) / "main"
    box.drop("a.835")
    await box.take_in()

    assert len(box.names("archive")) == 1


@pytest.mark.parametrize("name", ["a.835.part", "a.835.tmp", ".a.835", "A.PART", "a.filepart"])
async def test_partial_and_hidden_files_are_left_alone(box: Box, name: str):
    box.drop(name)
    await box.look(3)

    assert box.names("inbound") == [name]
    assert await box.receipts() == []


async def test_a_file_that_still_grows_waits(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    passed = [0.0]  # seconds, by the clock of the worker
    monkeypatch.setattr(drop_round, "time", SimpleNamespace(monotonic=lambda: passed[0]))
    box = Box(site, tmp_path / "drop", stable_seconds=3.0)
    path = box.drop("a.835", FILE[:50])
    await box.look(2)
    for end in range(100, len(FILE) + 100, 100):
        passed[0] += 2.0
        path.write_bytes(FILE[:end])
        await box.look()
        assert box.names("inbound") == ["a.835"]
    passed[0] += 2.9
    await box.look(2)
    assert box.names("inbound") == ["a.835"]
    passed[0] += 0.2
    await box.look(2)

    (receipt,) = await box.receipts()
    assert receipt.size_bytes == len(FILE)


async def test_with_markers_a_file_waits_for_its_marker_and_takes_it_along(site: Site, box: Box):
    await set_marker(site.engine, submitter_id=site.submitter_id, feed="main", needs_marker=True)
    box.drop("a.835")
    await box.look(3)
    assert await box.receipts() == []

    box.drop("a.835.complete", b"")
    await box.look()
    assert len(await box.receipts()) == 1
    assert box.names("inbound") == []


async def test_a_marker_that_lost_its_file_does_not_wait_for_the_next_one(box: Box):
    marker = box.drop("a.835.done", b"")
    os.utime(marker, (0, 0))
    fresh = box.drop("b.835.done", b"")
    await box.look()

    assert not marker.exists()
    assert fresh.exists()


async def test_a_file_that_is_called_like_a_marker_is_a_file(box: Box):
    lone = box.drop("ERA.835.done")
    os.utime(lone, (0, 0))
    box.drop("b.835", remittance(TestSet([denied("B1")]), control=2))
    box.drop("b.835.complete", remittance(TestSet([denied("B2")]), control=3))
    await box.look(2)

    assert len(await box.receipts()) == 3
    assert box.names("inbound") == []


async def test_what_is_written_to_a_file_after_its_receipt_is_read_as_well(site: Site, box: Box):
    box.drop("a.835", FILE[:-20])
    await box.look(2)
    (waiting,) = box.names("processing")
    box.restart()
    with (box.path / "processing" / waiting).open("ab") as late:
        late.write(FILE[-20:])
    await site.read_due()
    await box.look(3)
    await site.read_due()
    await box.look()

    assert len(await box.receipts()) == 2
    (archived,) = box.names("archive")
    assert (box.path / "archive" / archived).read_bytes() == FILE


async def test_a_file_that_changes_while_it_is_read_is_not_taken_half(
    site: Site, box: Box, monkeypatch: pytest.MonkeyPatch
):
    box.drop("a.835", FILE[: len(FILE) // 2])
    real = drop_folder.os.read

    def read_and_write(descriptor: int, size: int) -> bytes:
        found = real(descriptor, size)
        for path in (box.path / "processing").iterdir():
            path.write_bytes(FILE)
        return found

    monkeypatch.setattr(drop_folder.os, "read", read_and_write)
    await box.look(2)
    assert await box.receipts() == []

    monkeypatch.undo()
    await box.look(2)
    (receipt,) = await box.receipts()
    assert receipt.size_bytes == len(FILE)


async def test_the_same_content_under_two_names_is_one_receipt_and_both_are_archived(site: Site, box: Box):
    box.drop("a.835")
    box.drop("b.835")
    await box.take_in()

    assert len(await box.receipts()) == 1
    assert [name.rpartition("-")[2] for name in box.names("archive")] in (
        ["a.835", "b.835"],
        ["b.835", "a.835"],
    )


async def test_what_cannot_be_read_as_an_835_is_rejected_with_what_to_do(site: Site, box: Box):
    box.drop("letter.txt", b"Dear Sir or Madam, JANE DOE")
    await box.take_in()

    note, rejected = sorted(box.names("rejected"), key=lambda name: not name.endswith(".why.json"))
    assert note == f"{rejected}.why.json"
    why = json.loads((box.path / "rejected" / note).read_text())
    (receipt,) = await box.receipts()
    assert why["receipt_id"] == str(receipt.receipt_id)
    assert why["reason"] == receipt.refused_reason
    assert why["findings"][0]["remedy"]
    assert "JANE" not in (box.path / "rejected" / note).read_text()
    assert box.names("processing") == box.names("archive") == []


async def test_a_file_above_the_limit_is_rejected_before_it_is_read(box: Box):
    box.drop("big.835", bytes(MAX_UPLOAD_BYTES + 1))
    await box.look(2)

    note, _ = sorted(box.names("rejected"), key=lambda name: not name.endswith(".why.json"))
    assert json.loads((box.path / "rejected" / note).read_text())["reason"] == "too-large"
    assert await box.receipts() == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
async def test_a_compressed_file_is_unpacked_whatever_it_is_called(site: Site, box: Box, pack):
    box.drop("a.835", pack(FILE))
    box.drop("b.835", FILE)
    await box.take_in()

    (receipt,) = await box.receipts()  # packed or not, the bytes are the same
    assert receipt.size_bytes == len(FILE)
    assert len(box.names("archive")) == 2


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (gzip.compress(bytes(3_000_000)), "too-dense"),
        (gzip.compress(os.urandom(MAX_UPLOAD_BYTES + 1)), "too-large"),
        (gzip.compress(FILE)[:-9], "damaged-encoding"),
    ],
)
async def test_a_bomb_or_a_damaged_archive_is_rejected(box: Box, packed: bytes, reason: str):
    box.drop("a.835.gz", packed)
    await box.look(2)

    note, _ = sorted(box.names("rejected"), key=lambda name: not name.endswith(".why.json"))
    assert json.loads((box.path / "rejected" / note).read_text())["reason"] == reason
    assert await box.receipts() == []


async def test_an_empty_file_waits_and_is_rejected_in_the_end(box: Box, monkeypatch: pytest.MonkeyPatch):
    box.drop("a.835", b"")
    await box.look(3)
    assert box.names("inbound") == ["a.835"]

    monkeypatch.setattr(drop_round, "_EMPTY_SECONDS", 0.0)
    await box.look(2)
    assert len(box.names("rejected")) == 2


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo"])
async def test_nothing_but_a_plain_file_is_ever_opened(box: Box, tmp_path: Path, kind: str):
    secret = tmp_path / "secret"
    secret.write_bytes(remittance(TestSet([denied("SECRET")])))
    path = box.path / "inbound" / "a.835"
    if kind == "symlink":
        path.symlink_to(secret)
    elif kind == "hard link":
        os.link(secret, path)
    else:
        os.mkfifo(path)
    await asyncio.wait_for(box.look(2), 30)

    assert await box.receipts() == []
    assert box.names("inbound") == box.names("processing") == []
    assert [name for name in box.names("rejected") if name.endswith(".why.json")]
    assert not any(path.is_symlink() for path in (box.path / "rejected").iterdir())
    assert secret.exists()


async def test_folders_in_inbound_are_left_alone_and_told_of_once(box: Box):
    (box.path / "inbound" / "2026").mkdir()
    with structlog.testing.capture_logs() as logged:
        await box.look(3)
    told = [one for one in logged if one["event"] == "drop_subfolders_not_read"]
    assert [one["count"] for one in told] == [1]
    assert (box.path / "inbound" / "2026").is_dir()


@pytest.mark.parametrize("replaced", ["inbound", "processing", "archive", "rejected"])
async def test_a_folder_that_became_a_link_is_not_followed(
    site: Site, box: Box, tmp_path: Path, replaced: str
):
    await box.look()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "theirs.835").write_bytes(FILE)
    (box.path / replaced).rmdir()
    (box.path / replaced).symlink_to(elsewhere)
    if replaced != "inbound":
        box.drop("a.835")
    await box.look(3)

    assert await box.receipts() == []
    assert [path.name for path in elsewhere.iterdir()] == ["theirs.835"]


async def test_one_broken_folder_does_not_hold_up_another(site: Site, box: Box, tmp_path: Path):
    await site.client.post("/v1/feeds", json={"name": "broken"}, headers=site.headers())
    (tmp_path / "drop" / SUBMITTER / "broken").mkdir()
    (tmp_path / "drop" / SUBMITTER / "broken" / "inbound").symlink_to(tmp_path)
    box.drop("a.835")
    await box.look(2)

    assert len(await box.receipts()) == 1


@pytest.mark.parametrize(
    "name",
    [
        "..835",
        "a\nb.835",
        "-rf",
        "a;rm -rf ~.835",
        "naïve.835",
        b"\xff\xfe.835".decode("utf-8", "surrogateescape"),
        "x" * 250,
        "%2e%2e%2f.835",
        "00000000-0000-4000-8000-000000000000~20260101T000000Z-00000000-a.835",
    ],
)
async def test_a_hostile_name_stays_a_name(box: Box, name: str):
    path = Path(os.fsencode(box.path / "inbound").decode()) / name
    path.write_bytes(FILE)
    await box.take_in()

    assert len(await box.receipts()) == (0 if name.startswith(".") else 1)
    for archived in (box.path / "archive").rglob("*-*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", archived.name)
        assert len(archived.name) < 150


async def test_a_file_that_was_empty_long_enough_is_rejected_by_a_worker_that_just_started(box: Box):
    path = box.drop("empty.835", b"")
    await box.look(2)
    assert box.names("inbound") == ["empty.835"]
    long_ago = now().timestamp() - 601
    os.utime(path, (long_ago, long_ago))

    box.restart()
    await box.look(3)

    assert [name for name in box.names("rejected") if name.endswith("-empty.835")]


async def test_a_name_as_long_as_names_may_be_costs_no_round(site: Site, box: Box):
    """Behind it no marker's name would fit any more."""
    for name in ("n" * 251 + ".835", "é" * 125 + ".835"):
        box.drop(name, remittance(TestSet([denied("A1")], trace=str(len(name)))))
    box.drop("short.835", remittance(TestSet([denied("A2")], trace="T2")))
    failures = REGISTRY.get_sample_value("reprieve_drop_folder_failures_total")

    await box.look(2)

    assert REGISTRY.get_sample_value("reprieve_drop_folder_failures_total") == failures
    assert len(await box.receipts()) == 3
    await site.read_due()
    await box.look()
    assert len(box.names("archive")) == 3


def test_a_safe_name_is_never_hidden_long_or_empty():
    assert safe_name("../../etc/passwd") == "etc_passwd"
    assert safe_name("") == safe_name("...") == safe_name("\x00/") == "file"
    assert len(safe_name("x" * 500 + ".835")) == 80


async def test_what_somebody_laid_into_processing_is_taken_like_anything_else(site: Site, box: Box):
    await box.look()
    forged = "00000000-0000-4000-8000-000000000000~20260101T000000Z-00000000-forged.835"
    (box.path / "processing" / "stray.835").write_bytes(FILE)
    (box.path / "processing" / forged).write_bytes(remittance(TestSet([denied("B1")])))
    await box.look(3)
    await box.take_in()

    assert len(await box.receipts()) == 2
    assert len(box.names("archive")) == 2


async def test_a_stop_between_any_two_moves_neither_loses_nor_doubles_a_file(site: Site, tmp_path: Path):
    """Stop at the first rename, at the second, and so on, until a whole way goes through without a stop."""
    moves = 0
    while True:
        box = Box(site, tmp_path / f"drop-{moves}")
        content = remittance(TestSet([denied(f"M{moves}")]), control=moves + 1)
        box.drop("a.835", content)
        stopped = await stopped_at(box, moves)
        box.restart()
        await box.look(2)
        await box.take_in()

        assert len(box.names("archive")) == 1
        assert box.names("inbound") == box.names("processing") == box.names("rejected") == []
        assert len(await box.receipts()) == moves + 1
        if not stopped:
            break
        moves += 1
    assert moves == 3
    assert len(await site.events()) == 4


class Killed(BaseException):
    """No handler of errors may catch what stands for the end of the process."""


async def stopped_at(box: Box, move: int) -> bool:
    """Take a file in, but die before the rename of this number; tell whether it came so far."""
    real, done = os.rename, 0

    def rename(*arguments, **more):
        nonlocal done
        if "src_dir_fd" in more:  # others rename, too
            if done == move:
                raise Killed
            done += 1
        return real(*arguments, **more)

    drop_folder.os.rename = rename
    try:
        await box.take_in()
    except Killed:
        return True
    finally:
        drop_folder.os.rename = real
    return False


async def test_old_files_are_forgotten_and_foreign_ones_are_not(site: Site, box: Box):
    box.drop("a.835")
    box.drop("b.835", b"nothing")
    await box.take_in()
    (box.path / "rejected" / "notes.txt").write_text("mine")
    root = os.open(box.rules.root, os.O_RDONLY)
    with DropFolder(root, SUBMITTER, "main") as folder:
        assert folder.forget(now() - timedelta(days=1)) == 0
        assert folder.forget(now() + timedelta(days=1)) == 3
    os.close(root)

    assert box.names("archive") == []
    assert box.names("rejected") == ["notes.txt"]


async def test_two_workers_share_the_folders_and_take_each_file_once(site: Site, tmp_path: Path):
    one, two = Box(site, tmp_path / "drop"), Box(site, tmp_path / "drop")
    for number in range(30):
        one.drop(f"{number}.835", remittance(TestSet([denied(f"N{number}")]), control=number + 1))
    stop = asyncio.Event()
    running = [asyncio.create_task(box.worker.run(stop)) for box in (one, two)]
    await until(partial(has_receipts, one, 30))
    stop.set()
    await asyncio.gather(*running)
    await site.read_due()
    await one.look()

    assert len(one.names("archive")) == 30
    assert len(await site.events()) == 30


async def test_workers_that_both_believe_a_folder_is_theirs_do_no_harm(site: Site, tmp_path: Path):
    one, two = Box(site, tmp_path / "drop"), Box(site, tmp_path / "drop")
    for box in (one, two):
        box.worker._is_mine = always  # type: ignore[method-assign]
    for number in range(40):
        one.drop(f"{number}.835", remittance(TestSet([denied(f"N{number}")]), control=number + 1))
    for _ in range(4):
        await asyncio.gather(one.look(), two.look())
        await site.read_due()
    await asyncio.gather(one.look(), two.look())

    assert len(one.names("archive")) == 40
    assert len(await one.receipts()) == 40
    assert one.names("inbound") == one.names("processing") == one.names("rejected") == []


async def always(*_) -> bool:
    return True


async def has_receipts(box: Box, count: int) -> bool:
    return len(await box.receipts()) >= count


@asynccontextmanager
async def embedded_broker() -> AsyncIterator[Broker]:
    broker = EmbeddedBroker()
    await broker.start()
    try:
        yield broker
    finally:
        await broker.kill()


@pytest.mark.slow
async def test_killing_workers_while_files_are_dropped_loses_and_doubles_nothing(
    site: Site, database: Database, tmp_path: Path
):
    box = Box(site, tmp_path / "drop")
    settings = {"REPRIEVE_DROP_DIR": str(tmp_path / "drop"), "REPRIEVE_DROP_STABLE_SECONDS": "0.2"}
    async with embedded_broker() as broker:
        start = partial(
            serve, "ingest-worker", database=database, broker=broker, folder=tmp_path, settings=settings
        )
        for kill in range(1, 4):
            for number in range(100):
                content = remittance(TestSet([denied(f"K{kill}-{number}")]), control=kill * 1000 + number)
                (box.path / "inbound" / f"{number}.835.part").write_bytes(content)
                (box.path / "inbound" / f"{number}.835.part").rename(box.path / "inbound" / f"{number}.835")
            with start() as one, start() as two:
                await until(partial(has_receipts, box, kill * 100 - 60))
                one.kill()
                two.kill()
        with start() as worker:
            await until(partial(archived, box, 300))
            assert worker.stop() == 0
        log = worker.log.read_text()

    assert len(await box.receipts()) == 300
    assert len(await site.events()) == 300
    assert box.names("inbound") == box.names("processing") == box.names("rejected") == []
    assert "dropped_keys" not in log


async def archived(box: Box, count: int) -> bool:
    return len(box.names("archive")) >= count
