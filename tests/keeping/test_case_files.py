"""The files of a case go with its claim, for good, and not a day earlier."""

from datetime import date
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from services.tracker.domain.steps import FileAttached, Made
from services.tracker.store.files import add_file, begin_upload, clear_loose
from services.tracker.store.ledger import ClaimKey
from services.tracker.store.retention import months_needed
from shared.clock import now
from shared.postgres import transaction
from shared.security.sealing import MasterKey
from shared.storage.vault import StoredFile, Vault
from tests.keeping.conftest import ORGANIZATION, Pair
from tests.keeping.test_payloads import closed
from tests.triage.messages import denial

MASTER_KEY = MasterKey(bytes(32))


@pytest.fixture
def vault(tmp_path) -> Vault:
    return Vault(tmp_path / "files", MASTER_KEY)


async def attach(
    pair: Pair, vault: Vault, claim_key: UUID, *, sealed_name: str = "s1.202601.x"
) -> StoredFile:
    """Keep a file of the one case of a claim, as tracker-api does."""
    [case] = await pair.select("select case_id from tracker.cases where claim_key = :key", key=claim_key)
    writer = vault.writer()
    writer.write(b"a paper")
    stored = writer.keep()
    step = FileAttached(
        kind="file_attached", file_id=uuid4(), sha256="0" * 64, media_type="text/plain", size_bytes=7
    )
    made = Made(
        step_id=uuid4(),
        case_id=UUID(bytes=case.case_id.bytes),
        number=1,
        step=step,
        evidence=uuid4(),
        made_at=now(),
        made_by=uuid4(),
        made_role="biller",
    )
    async with transaction(pair.tracker, organizations=[ORGANIZATION]) as connection:
        await begin_upload(connection, ORGANIZATION, stored.storage_key)
        key = ClaimKey(ORGANIZATION, claim_key)
        await add_file(connection, key, made, step, stored=stored, sealed_name=sealed_name)
    return stored


def kept(vault: Vault) -> int:
    return len([path for path in vault.objects.folder.rglob("*") if path.is_file()])


async def test_a_purge_counts_the_files_of_a_claim_and_destroys_them(pair: Pair, vault: Vault):
    ended, still_open = await closed(pair), denial()
    await pair.take(still_open)
    await attach(pair, vault, ended.claim_key)
    spared = await attach(pair, vault, still_open.claim_key)
    await pair.grow_old()
    found = await pair.purge()

    assert (found.claims, found.case_files, found.case_file_bytes) == (1, 1, 7)
    rows = await pair.select("select claim_key, wrapped_key, sealed_name from tracker.files")
    assert {row.claim_key: (row.wrapped_key, row.sealed_name) for row in rows} == {
        ended.claim_key: (None, None),
        still_open.claim_key: (spared.wrapped_key, "s1.202601.x"),
    }
    assert (await clear_loose(pair.tracker, vault), kept(vault)) == (1, 1)
    assert (await pair.purge()).case_files == 0


async def test_a_claim_whose_file_came_later_stays(pair: Pair, vault: Vault):
    ended = await closed(pair)
    await pair.grow_old()
    await attach(pair, vault, ended.claim_key)

    assert (await pair.purge()).claims == 0


async def test_the_month_of_the_name_of_a_file_that_stays_opens(pair: Pair, vault: Vault):
    still_open = denial()
    await pair.take(still_open)
    await attach(pair, vault, still_open.claim_key, sealed_name="s1.202605.x")
    await pair.grow_old()
    async with transaction(pair.tracker, organizations=[ORGANIZATION]) as connection:
        needed = await months_needed(connection, now().date())

    assert date(2026, 5, 1) in needed


async def test_the_tracker_changes_nothing_of_a_file_but_its_end(pair: Pair, vault: Vault):
    ended = await closed(pair)
    await attach(pair, vault, ended.claim_key)
    for change in ("sha256 = '\\x00'", "attached_by = organization_id", "size_bytes = 1"):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with transaction(pair.tracker, organizations=[ORGANIZATION]) as connection:
                await connection.exec_driver_sql(f"update tracker.files set {change}")
