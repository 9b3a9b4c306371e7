"""Files that a sender lays on its own SFTP server are fetched once and whole. The server is a real one."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncssh
import pytest

from services.ingest.intake import sftp
from services.ingest.intake.sftp import SftpError
from services.ingest.store import sftp_pulls
from services.ingest.store.sftp_pulls import SftpPlace, SftpPull, set_pull
from services.ingest.workers.pulling import Pulling, PullRules
from shared.http.probes import Health
from shared.postgres import lock_session
from shared.security.sealing import MasterKey
from tests.ingest.processes import REPRIEVE, until
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import MASTER_KEY_TEXT, MAX_UPLOAD_BYTES, Site
from tests.ingest.test_drop_folder import Box
from tests.support.database import Database

FILE = remittance(TestSet([denied("A1")]))
LARGE = remittance(TestSet([denied(f"L{n}") for n in range(12_000)]))
PASSWORD = "not-for-the-logs"


@dataclass
class Remote:
    """A server, its folder, and what goes wrong with it."""

    folder: Path
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    client_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    port: int = 0
    breaks_after: int | None = None
    forbids: bool = False
    reads: list[tuple[int, int]] = field(default_factory=list)
    server: asyncssh.SSHAcceptor | None = None

    async def start(self) -> None:  # noqa: C901  two small classes that see this one
        remote = self

        class Server(asyncssh.SSHServer):
            def begin_auth(self, _username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == ("reprieve", PASSWORD)

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, _username: str, key: asyncssh.SSHKey) -> bool:
                return key == remote.client_key.convert_to_public()

        class Files(asyncssh.SFTPServer):
            def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
                super().__init__(channel, chroot=os.fsencode(remote.folder))
                self._channel = channel

            def read(self, file_obj: object, offset: int, size: int) -> bytes:
                remote.reads.append((offset, size))
                if remote.breaks_after is not None and offset >= remote.breaks_after:
                    self._channel.get_connection().abort()
                return super().read(file_obj, offset, size)

            def rename(self, oldpath: bytes, newpath: bytes) -> None:
                if remote.forbids:
                    raise asyncssh.SFTPPermissionDenied("no")
                super().rename(oldpath, newpath)

            def remove(self, path: bytes) -> None:
                if remote.forbids:
                    raise asyncssh.SFTPPermissionDenied("no")
                super().remove(path)

        self.server = await asyncssh.create_server(
            Server, "127.0.0.1", self.port, server_host_keys=[self.host_key], sftp_factory=Files
        )
        self.port = self.server.get_port()

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()

    def place(self, **more) -> SftpPlace:
        wanted = {
            "host": "127.0.0.1",
            "port": self.port,
            "user_name": "reprieve",
            "host_key": self.host_key.export_public_key().decode().strip(),
            "folder": "out",
            "poll_seconds": 1,
        }
        return SftpPlace(**{**wanted, **more})

    def lay(self, name: str, content: bytes = FILE) -> Path:
        path = self.folder / "out" / name
        path.write_bytes(content)
        return path

    def names(self, folder: str = "out") -> list[str]:
        path = self.folder / folder
        return sorted(one.name for one in path.iterdir() if one.is_file()) if path.exists() else []


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Remote]:
    (tmp_path / "theirs" / "out").mkdir(parents=True)
    made = Remote(tmp_path / "theirs")
    await made.start()
    yield made
    await made.stop()


class Line:
    """The site's feed `main`, fetched from the remote, and its drop folder."""

    def __init__(self, site: Site, remote: Remote, root: Path, *, stable_seconds: float = 0.0) -> None:
        self.site, self.remote = site, remote
        self.box = Box(site, root)
        rules = PullRules(
            root=root, max_bytes=MAX_UPLOAD_BYTES, stable_seconds=stable_seconds, look_seconds=0.1
        )
        self.worker = Pulling(site.engine, MasterKey.from_text(MASTER_KEY_TEXT), rules, Health())

    async def set(self, *, secret: bytes = PASSWORD.encode(), kind="password", **more) -> None:
        await set_pull(
            self.site.engine,
            MasterKey.from_text(MASTER_KEY_TEXT),
            submitter_id=self.site.submitter_id,
            feed="main",
            place=self.remote.place(**more),
            secret_kind=kind,
            secret=secret,
        )

    async def one(self) -> SftpPull:
        (pull,) = await sftp_pulls.all_pulls(self.site.engine)
        return pull

    async def pull(self) -> None:
        await self.worker.pull(await self.one())

    def arrived(self) -> list[bytes]:
        return [
            (self.box.path / "inbound" / name).read_bytes()
            for name in self.box.names("inbound")
            if not name.startswith(".") and not name.endswith(".complete")
        ]


@pytest.fixture
async def line(site: Site, remote: Remote, tmp_path: Path) -> Line:
    made = Line(site, remote, tmp_path / "drop")
    await made.set()
    return made


async def test_a_file_is_fetched_taken_read_and_put_away_over_there(line: Line, site: Site, remote: Remote):
    remote.lay("era.835")
    await line.pull()
    assert (remote.names(), remote.names("out/done")) == ([], ["era.835"])
    await line.box.look()  # at once: what was fetched is known to be complete
    (receipt,) = await line.box.receipts()
    assert receipt.size_bytes == len(FILE)

    await site.read_due()
    await line.box.look()
    assert len(line.box.names("archive")) == 1
    assert line.box.names("inbound") == []
    assert len(await site.events()) == 1


async def test_a_private_key_logs_in_as_well(line: Line, remote: Remote):
    await line.set(kind="key", secret=remote.client_key.export_private_key())
    remote.lay("era.835")
    await line.pull()

    assert line.arrived() == [FILE]


@pytest.mark.parametrize(
    ("afterwards", "left", "moved"), [("move", [], ["a.835"]), ("delete", [], []), ("keep", ["a.835"], [])]
)
async def test_a_fetched_file_is_moved_deleted_or_kept_and_never_fetched_twice(
    line: Line, remote: Remote, afterwards: str, left: list[str], moved: list[str]
):
    await line.set(afterwards=afterwards)
    remote.lay("a.835")
    for _ in range(3):
        await line.pull()

    assert (remote.names(), remote.names("out/done")) == (left, moved)
    assert line.arrived() == [FILE]


async def test_a_server_that_forbids_renaming_is_lived_with(line: Line, remote: Remote):
    remote.forbids = True
    remote.lay("a.835")
    remote.lay("b.835", LARGE)
    await line.pull()
    await line.pull()
    assert sorted(map(len, line.arrived())) == sorted([len(FILE), len(LARGE)])

    remote.forbids = False
    await line.pull()
    assert (remote.names(), len(line.arrived())) == ([], 2)


async def test_the_same_name_with_other_content_is_another_file(line: Line, remote: Remote):
    remote.lay("a.835")
    await line.pull()
    remote.lay("a.835", LARGE)
    await line.pull()

    assert len(line.arrived()) == 2
    assert len(remote.names("out/done")) == 2


async def test_only_complete_plain_files_of_the_pattern_are_fetched(
    line: Line, remote: Remote, tmp_path: Path
):
    await line.set(pattern="*.835")
    (tmp_path / "secret.835").write_bytes(FILE)
    (remote.folder / "out" / "link.835").symlink_to("../../secret.835")
    (remote.folder / "out" / "sub.835").mkdir()
    for name in (".hidden.835", "a.835.part", "letter.txt"):
        remote.lay(name)
    remote.lay("empty.835", b"")
    remote.lay("large.835", bytes(MAX_UPLOAD_BYTES + 1))
    await line.pull()

    assert line.arrived() == []
    assert line.box.names("inbound") == []
    assert "large.835" in remote.names()


async def test_a_file_that_grows_over_there_is_not_fetched(
    site: Site, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    line = Line(site, remote, tmp_path / "drop", stable_seconds=0.01)
    await line.set()
    path = remote.lay("a.835", LARGE[:1000])
    real = sftp.SftpSession.list

    async def list_and_grow(session):
        listed = await real(session)
        path.write_bytes(LARGE)
        return listed

    with monkeypatch.context() as growing:
        growing.setattr(sftp.SftpSession, "list", list_and_grow)
        await line.pull()
    assert line.arrived() == []

    await line.pull()
    assert line.arrived() == [LARGE]


async def test_a_file_that_changes_while_it_is_fetched_is_fetched_again(
    line: Line, remote: Remote, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sftp, "_BLOCK_BYTES", 10_000)
    path = remote.lay("a.835", LARGE)
    real, blocks = sftp._write_all, []

    def write_and_append(into, block) -> None:
        real(into, block)
        blocks.append(len(block))
        if len(blocks) == 2:
            path.write_bytes(LARGE + b"\n")

    monkeypatch.setattr(sftp, "_write_all", write_and_append)
    await line.pull()
    assert line.arrived() == []
    assert len(blocks) >= 2
    await line.pull()
    assert line.arrived() == [LARGE + b"\n"]


async def test_a_session_that_breaks_off_goes_on_where_it_was(
    line: Line, remote: Remote, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sftp, "_BLOCK_BYTES", 100_000)
    remote.lay("a.835", LARGE)
    remote.breaks_after = len(LARGE) // 2
    with pytest.raises(SftpError) as caught:
        await line.pull()
    assert caught.value.code in ("broken_off", "unreachable")
    assert line.arrived() == []
    assert len(line.box.names("inbound")) == 1
    await line.box.look(3)
    assert await line.box.receipts() == []

    remote.breaks_after = None
    remote.reads.clear()
    await line.pull()
    assert line.arrived() == [LARGE]
    assert min(offset for offset, _ in remote.reads) >= len(LARGE) // 4


async def test_another_process_begins_what_was_cut_off_anew(
    line: Line, remote: Remote, site: Site, tmp_path: Path
):
    remote.lay("a.835", LARGE)
    (line.box.path / "inbound" / f".{'0' * 16}.part").write_bytes(b"half of something")
    (line.box.path / "inbound" / ".mine.part").write_bytes(b"somebody else's")
    await line.pull()

    assert line.arrived() == [LARGE]
    assert [name for name in line.box.names("inbound") if name.startswith(".")] == [".mine.part"]


async def test_a_file_that_is_called_like_a_marker_over_there_is_taken(line: Line, remote: Remote):
    remote.lay("ERA.835.done")
    await line.pull()
    await line.box.look(2)

    assert remote.names("out/done") == ["ERA.835.done"]
    assert len(await line.box.receipts()) == 1


async def test_a_worker_whose_part_was_abandoned_lays_nothing_down(
    line: Line, remote: Remote, monkeypatch: pytest.MonkeyPatch
):
    remote.lay("a.835")
    real = sftp.SftpSession.fetch

    async def fetch_and_lose(session, one, into) -> None:
        await real(session, one, into)
        for part in (line.box.path / "inbound").glob(".*.part"):
            part.unlink()

    monkeypatch.setattr(sftp.SftpSession, "fetch", fetch_and_lose)
    await line.pull()
    assert (line.box.names("inbound"), remote.names()) == ([], ["a.835"])

    monkeypatch.undo()
    await line.pull()
    assert line.arrived() == [FILE]


async def test_a_worker_that_lost_its_lock_connection_stops_fetching(
    line: Line, remote: Remote, site: Site, monkeypatch: pytest.MonkeyPatch
):
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def fetch(*_) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monkeypatch.setattr(sftp.SftpSession, "fetch", fetch)
    remote.lay("a.835")
    stop = asyncio.Event()
    running = asyncio.create_task(line.worker.run(stop))
    await asyncio.wait_for(begun.wait(), 30)
    await site.rows(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objsubid = 2"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    await asyncio.wait_for(cancelled.wait(), 30)
    stop.set()
    await running


@pytest.mark.parametrize("afterwards", ["move", "delete"])
async def test_what_was_replaced_since_it_was_listed_is_not_put_away(
    line: Line, remote: Remote, monkeypatch: pytest.MonkeyPatch, afterwards: str
):
    await line.set(afterwards=afterwards)
    remote.lay("a.835")
    real = sftp_pulls.remember_fetched

    async def remember_and_replace(*arguments) -> None:
        await real(*arguments)
        remote.lay("a.835", LARGE)

    monkeypatch.setattr(sftp_pulls, "remember_fetched", remember_and_replace)
    await line.pull()
    assert remote.names() == ["a.835"]

    monkeypatch.undo()
    await line.pull()
    assert sorted(map(len, line.arrived())) == [len(FILE), len(LARGE)]


async def test_a_server_without_times_is_known_by_content(
    line: Line, remote: Remote, monkeypatch: pytest.MonkeyPatch
):
    await line.set(afterwards="keep")
    real = sftp.SftpSession._file

    def without_time(session, name, attributes):
        attributes.mtime = None
        return real(session, name, attributes)

    monkeypatch.setattr(sftp.SftpSession, "_file", without_time)
    other = FILE.replace(b"A1", b"B2")
    for content in (FILE, FILE, other):
        remote.lay("a.835", content)
        await line.pull()

    assert sorted(line.arrived()) == sorted([FILE, other])


async def test_a_full_disk_of_ours_is_not_the_servers_fault(
    line: Line, remote: Remote, monkeypatch: pytest.MonkeyPatch
):
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sftp, "_write_all", full)
    remote.lay("a.835")
    with pytest.raises(SftpError) as caught:
        await line.pull()
    assert caught.value.code == "drop_folder_fails"


async def test_a_folder_with_too_many_entries_fails_visibly(
    line: Line, remote: Remote, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sftp, "_LISTED_FILES", 3)
    for number in range(3):
        remote.lay(f"{number}.835")
    with pytest.raises(SftpError) as caught:
        await line.pull()
    assert caught.value.code == "too_many_files"


async def test_what_was_not_listed_for_90_days_is_forgotten(line: Line, remote: Remote, site: Site):
    await line.set(afterwards="keep")
    listed, gone = remote.lay("a.835"), remote.lay("b.835")
    await line.pull()
    await site.rows("update ingest.sftp_pulled set pulled_at = now() - interval '91 days' returning 1")
    gone.unlink()
    await line.pull()

    (row,) = await site.rows("select pulled_at > now() - interval '1 day' as fresh from ingest.sftp_pulled")
    assert row.fresh
    assert listed.exists()
    assert len(line.arrived()) == 2


async def test_a_server_with_another_host_key_is_not_spoken_to(line: Line, remote: Remote, site: Site):
    remote.lay("a.835")
    await remote.stop()
    remote.host_key = asyncssh.generate_private_key("ssh-ed25519")
    await remote.start()
    line.remote.port = remote.port
    with pytest.raises(SftpError) as caught:
        await line.pull()

    assert caught.value.code == "host_key_changed"
    assert line.arrived() == []
    assert remote.reads == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"secret": b"guessed"}, "login_refused"),
        ({"folder": "nowhere"}, "folder_refused"),
        ({"port": 1}, "unreachable"),
    ],
)
async def test_what_fails_is_shown_at_the_feed_until_it_goes_well(
    line: Line, remote: Remote, site: Site, wrong: dict, code: str
):
    await line.set(**wrong)
    stop = asyncio.Event()
    running = asyncio.create_task(line.worker.run(stop))
    await until(partial(fails_with, site, code))
    feed = await shown(site)
    assert feed["failing_since"] is not None
    assert feed["pulled_at"] is None

    await line.set()
    remote.lay("a.835")
    await until(partial(goes_well, site))
    stop.set()
    await running
    assert line.arrived() == [FILE]


async def shown(site: Site) -> dict:
    found = (await site.get("/v1/feeds")).json()["data"]
    return next(feed["fetched"] for feed in found if feed["name"] == "main")


async def fails_with(site: Site, code: str) -> bool:
    return (await shown(site))["failure"] == code


async def goes_well(site: Site) -> bool:
    feed = await shown(site)
    return feed["failure"] is None and feed["pulled_at"] is not None


async def test_two_workers_fetch_each_file_once(site: Site, remote: Remote, tmp_path: Path):
    lines = [Line(site, remote, tmp_path / "drop") for _ in range(2)]
    await lines[0].set(afterwards="keep")
    for number in range(20):
        remote.lay(f"{number}.835", remote_file(number))
    stop = asyncio.Event()
    running = [asyncio.create_task(one.worker.run(stop)) for one in lines]
    await until(partial(has_arrived, lines[0], 20))
    await asyncio.sleep(1.5)
    stop.set()
    await asyncio.gather(*running)

    assert len(lines[0].arrived()) == 20
    assert len([one for one in remote.reads if one[0] == 0]) == 20


def remote_file(number: int) -> bytes:
    return remittance(TestSet([denied(f"R{number}")]), control=number + 1)


async def has_arrived(line: Line, count: int) -> bool:
    return len(line.arrived()) >= count


async def test_a_feed_without_a_folder_gets_one(site: Site, remote: Remote, tmp_path: Path):
    line = Line(site, remote, tmp_path / "drop")
    await line.set()
    for folder in ("inbound", "."):
        (line.box.path / folder).rmdir()
    line.box.path = tmp_path / "drop" / str(site.submitter_id) / "main"
    remote.lay("a.835")
    await line.pull()

    assert line.arrived() == [FILE]


async def test_the_secret_rests_sealed_and_opens_for_its_feed_only(line: Line, site: Site):
    (row,) = await site.rows("select * from ingest.sftp_pulls")
    assert PASSWORD.encode() not in bytes(row.wrapped_secret)
    assert PASSWORD not in repr(await line.one())

    async with lock_session(site.engine, "test"):
        await site.rows("update ingest.sftp_pulls set host = 'evil.example' returning 1")
    assert (await line.one()).secret(MasterKey.from_text(MASTER_KEY_TEXT)) == PASSWORD.encode()


async def test_an_operator_sets_lists_and_removes_places_by_command(
    site: Site, remote: Remote, database: Database, tmp_path: Path
):
    key = tmp_path / "host.pub"
    key.write_bytes(remote.host_key.export_public_key())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")},
        "REPRIEVE_ADMIN_DATABASE_URL": database.owner,
        "REPRIEVE_MASTER_KEY": MASTER_KEY_TEXT,
        "REPRIEVE_SFTP_PASSWORD": PASSWORD,
        "COLUMNS": "160",
    }

    async def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [REPRIEVE, "feeds", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    seen = await command("sftp", "host-key", "127.0.0.1", "--port", str(remote.port))
    assert seen.stdout.split()[:2] == key.read_text().split()[:2]
    place = ["--host", "127.0.0.1", "--port", str(remote.port), "--user", "reprieve", "--folder", "out"]
    made = await command("sftp", "set", "Clearinghouse One", "main", *place, "--host-key", str(key))
    assert made.returncode == 0, made.stderr
    wrong = await command("sftp", "set", "Clearinghouse One", "main", *place, "--host-key", "no key")
    assert (wrong.returncode, PASSWORD in wrong.stderr) == (2, False)

    line = Line(site, remote, tmp_path / "drop")
    remote.lay("a.835")
    await line.pull()
    assert line.arrived() == [FILE]
    listed = await command("sftp", "list")
    assert (listed.returncode, "127.0.0.1" in listed.stdout) == (0, True)
    assert (await command("marker", "Clearinghouse One", "main")).returncode == 0
    assert (await site.rows("select needs_marker from ingest.feeds"))[0].needs_marker is True
    assert (await command("sftp", "remove", "Clearinghouse One", "main")).returncode == 0
    assert await sftp_pulls.all_pulls(site.engine) == []
