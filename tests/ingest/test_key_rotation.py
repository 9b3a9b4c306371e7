"""A new master key takes the old one's place without sealing anything anew; a wrong one is noticed at once."""

import asyncio
import base64
import os
import re
import subprocess
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from services import key_rotation
from services.ingest.store import feed_secrets, sftp_pulls
from services.ingest.store.sftp_pulls import SftpPlace
from services.key_rotation import rotate
from services.tracker.alerts.domain.notification import Secret
from services.tracker.alerts.store import channels
from services.tracker.domain.steps import FileAttached, Made
from services.tracker.store import files as case_files
from services.tracker.store.ledger import ClaimKey
from shared import clock
from shared.contracts.claim_denied import ClaimDenied
from shared.errors import InvalidInputError
from shared.postgres import rows, transaction
from shared.security import administration
from shared.security.key_check import check_master_key
from shared.security.keyring import Keyring
from shared.security.sealing import MasterKey
from shared.storage.vault import StoredFile, Vault
from tests.ingest.processes import REPRIEVE, serve
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import MASTER_KEY_TEXT, Site
from tests.support.brokers import Broker
from tests.support.database import Database

NEW_TEXT = base64.b64encode(bytes(range(100, 132))).decode()
OTHER_TEXT = base64.b64encode(bytes(32)).decode()
OLD, NEW = MasterKey.from_text(MASTER_KEY_TEXT), MasterKey.from_text(NEW_TEXT)
BOTH = MasterKey.from_text(f"{NEW_TEXT}, {MASTER_KEY_TEXT}")


async def fill(site: Site, files: int = 3) -> None:
    """Make something of every kind that a master key wraps."""
    for number in range(files):
        await site.take_in(remittance(TestSet([denied(f"A{number}")]), control=number + 1))
    ids = {"submitter_id": site.submitter_id, "feed": "main"}
    await feed_secrets.add_secret(site.engine, OLD, **ids)
    place = SftpPlace(host="sftp.example", user_name="u", host_key="k")
    await sftp_pulls.set_pull(
        site.engine, OLD, **ids, place=place, secret_kind="password", secret=b"a password"
    )
    await keep_case_file(site)
    channel = {"organization_id": site.organization_id, "channel_id": uuid4()}
    async with transaction(site.owner, organizations=[site.organization_id]) as connection:
        await channels.add_channel(
            connection,
            **channel,
            name="billing",
            kind="webhook",
            settings={},
            sealed_secret=channels.seal_secret(OLD, Secret(current="a secret"), **channel),
            rate_per_minute=None,
        )


async def keep_case_file(site: Site) -> None:
    """Keep a file of a case, as tracker-api does."""
    writer = site.vault.writer()
    writer.write(b"a paper")
    stored = await asyncio.to_thread(writer.keep)
    step = FileAttached(
        kind="file_attached", file_id=uuid4(), sha256="0" * 64, media_type="text/plain", size_bytes=7
    )
    made = Made(
        step_id=uuid4(),
        case_id=uuid4(),
        number=1,
        step=step,
        evidence=uuid4(),
        made_at=clock.now(),
        made_by=uuid4(),
        made_role="biller",
    )
    async with transaction(site.owner, organizations=[site.organization_id]) as connection:
        await case_files.begin_upload(connection, site.organization_id, stored.storage_key)
        await case_files.add_file(
            connection, ClaimKey(site.organization_id, uuid4()), made, step, stored=stored, sealed_name="s1"
        )


async def opens(site: Site, master_key: MasterKey) -> bool:
    """Tell whether everything opens with this key; a mixture is neither."""
    try:
        await check_master_key(site.engine, master_key)
        keyring = Keyring(site.engine, master_key)
        for event in await site.events():
            assert isinstance(event, ClaimDenied)
            assert event.patient.sealed is not None
            person = await keyring.open_person(site.organization_id, event.patient.sealed)
            assert person.last == "DOE"
        vault = Vault(site.vault.objects.folder, master_key)
        found = await site.rows("select storage_key, wrapped_key, size_bytes from ingest.receipts")
        for row in found:
            with vault.open(StoredFile(row.storage_key, row.wrapped_key, row.size_bytes)) as reader:
                assert reader.read(0, 3) == b"ISA"
        async with transaction(site.owner, organizations=[site.organization_id]) as connection:
            (file,) = await rows(connection, "select storage_key, wrapped_key, size_bytes from tracker.files")
        with vault.open(StoredFile(file.storage_key, file.wrapped_key, file.size_bytes)) as reader:
            assert reader.read(0, 7) == b"a paper"
        ids = {"submitter_id": site.submitter_id, "feed": "main"}
        assert len(await feed_secrets.secrets_of_feed(site.engine, master_key, **ids)) == 1
        (pull,) = await sftp_pulls.all_pulls(site.engine)
        assert pull.secret(master_key) == b"a password"
        async with transaction(site.owner, organizations=[site.organization_id]) as connection:
            (channel,) = await channels.list_channels(connection)
        assert channel.secret(master_key) == Secret(current="a secret")
    except InvalidInputError:
        return False
    return True


def ignore(*_: object) -> None:
    pass


async def test_after_a_rotation_the_new_key_opens_everything_and_the_old_one_nothing(site: Site):
    await fill(site)
    assert (await opens(site, OLD), await opens(site, NEW), await opens(site, BOTH)) == (True, False, True)
    done = await rotate(site.owner, BOTH, show=ignore)

    assert (await opens(site, OLD), await opens(site, NEW), await opens(site, BOTH)) == (False, True, True)
    assert list(done.rewrapped.values()) == [1, 1, 3, 1, 1, 1, 1]
    assert done.lost == {}
    with pytest.raises(InvalidInputError):
        await check_master_key(site.engine, OLD)


async def test_a_rotation_leaves_an_audit_line_and_may_be_repeated(site: Site):
    await fill(site)
    await rotate(site.owner, BOTH, show=ignore)
    again = await rotate(site.owner, BOTH, show=ignore)
    async with transaction(site.owner) as connection:
        logged = await rows(connection, "select * from access.operations_log order by position")

    assert set(again.rewrapped.values()) == {0}
    assert [line.action for line in logged][-2:] == ["master_key_rotated"] * 2
    assert logged[-1].detail["rewrapped"]["keys of raw files"] == 0
    assert logged[-2].detail["rewrapped"]["keys of raw files"] == 3


async def test_a_rotation_that_is_stopped_anywhere_goes_on_when_it_is_repeated(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(key_rotation, "_ROWS_AT_ONCE", 1)
    await fill(site)
    stops = 0
    while await stopped_after(site, stops):
        stops += 1
        assert await opens(site, BOTH)
    assert stops > 8
    assert await opens(site, NEW)


async def stopped_after(site: Site, looks: int) -> bool:
    """Rotate, but stop after so many looks; False when it came to its end."""
    left = looks

    def stop(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    try:
        await rotate(site.owner, BOTH, show=stop)
    except KeyboardInterrupt:
        return True
    return False


async def test_a_file_of_a_process_that_still_wraps_by_the_old_key_is_taken_by_the_next_rotation(site: Site):
    await fill(site)
    await rotate(site.owner, BOTH, show=ignore)
    site.workshop.keyring._master_key = site.vault._master_key = MasterKey.from_text(
        f"{MASTER_KEY_TEXT},{NEW_TEXT}"
    )
    await site.take_in(remittance(TestSet([denied("LATE")]), control=99))
    assert (await opens(site, NEW), await opens(site, BOTH)) == (False, True)

    again = await rotate(site.owner, BOTH, show=ignore)
    assert again.rewrapped["keys of raw files"] == 1
    assert await opens(site, NEW)


async def test_a_rotation_with_a_wrong_old_key_changes_nothing(site: Site):
    await fill(site)
    await check_master_key(site.engine, OLD)
    with pytest.raises(InvalidInputError):
        await rotate(site.owner, MasterKey.from_text(f"{NEW_TEXT},{OTHER_TEXT}"), show=ignore)

    assert await opens(site, OLD)


async def test_what_opens_with_no_key_is_named_and_holds_up_nothing(site: Site):
    await fill(site)
    await site.rows(
        "update ingest.receipts set wrapped_key = '\\x00' where receipt_id ="
        " (select receipt_id from ingest.receipts limit 1) returning 1"
    )
    done = await rotate(site.owner, BOTH, show=ignore)

    assert done.lost == {"keys of raw files": 1}
    assert done.rewrapped["keys of raw files"] == 2


async def test_the_first_process_settles_the_key_unless_an_organization_says_otherwise(site: Site):
    with pytest.raises(InvalidInputError):
        await check_master_key(site.engine, NEW)
    await check_master_key(site.engine, OLD)
    await check_master_key(site.engine, OLD)
    with pytest.raises(InvalidInputError):
        await administration.create_organization(
            site.owner, name="Second", time_zone="America/New_York", master_key=NEW
        )


@pytest.mark.parametrize("process", ["ingest-api", "ingest-worker"])
async def test_a_process_with_a_wrong_master_key_ends_and_says_why(
    site: Site, database: Database, broker: Broker, tmp_path: Path, process: str
):
    wrong = {"REPRIEVE_MASTER_KEY": OTHER_TEXT}
    with serve(process, database=database, broker=broker, folder=tmp_path, settings=wrong) as started:
        status = await asyncio.to_thread(partial(started.child.wait, timeout=60))

    assert status != 0
    assert "InvalidInputError" in started.log.read_text() or "master key" in started.log.read_text()
    assert OTHER_TEXT not in started.log.read_text()


async def test_an_operator_rotates_by_command(site: Site, database: Database):
    await fill(site)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")},
        "REPRIEVE_ADMIN_DATABASE_URL": database.owner,
        "REPRIEVE_MASTER_KEY": f"{NEW_TEXT},{MASTER_KEY_TEXT}",
    }
    ended = await asyncio.to_thread(
        subprocess.run,
        [REPRIEVE, "keys", "rotate"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr
    assert "keys of raw files: 3 wrapped anew" in ended.stdout
    rewrapped = sum(int(count) for count in re.findall(r": (\d+) wrapped anew", ended.stdout))
    assert ended.stdout.splitlines()[-1] == f"All {rewrapped} are under the first master key."
    assert await opens(site, NEW)


def test_one_master_key_alone_rotates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REPRIEVE_ADMIN_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("REPRIEVE_MASTER_KEY", NEW_TEXT)

    with pytest.raises(InvalidInputError, match="Only one master key") as raised:
        key_rotation.rotate_master_key(tmp_path)
    assert "NEW,OLD" in (raised.value.remedy or "")
