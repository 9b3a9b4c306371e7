"""Files come in whole, durable and once; what a submitter sees of them stays its own."""

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest

from shared.storage import objects
from shared.storage.vault import StoredFile
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import MAX_UPLOAD_BYTES, Site

FILE = remittance(TestSet([denied("A1")]))


def raw_files(site: Site) -> list[Path]:
    return [path for path in site.vault.objects.folder.rglob("*") if path.is_file()]


async def test_a_push_is_answered_with_a_receipt_of_what_was_kept(site: Site):
    pushed = await site.push(FILE)

    assert pushed.status_code == 202
    receipt = pushed.json()
    assert (receipt["sha256"], receipt["size_bytes"]) == (sha256(FILE).hexdigest(), len(FILE))
    assert (receipt["status"], receipt["duplicate"], receipt["feed"]) == ("received", False, "main")
    assert pushed.headers["location"] == f"/v1/remittances/{receipt['receipt_id']}"
    (row,) = await site.rows("select storage_key, wrapped_key, size_bytes from ingest.receipts")
    with site.vault.open(StoredFile(row.storage_key, row.wrapped_key, row.size_bytes)) as reader:
        assert b"".join(reader.blocks()) == FILE


async def test_the_same_bytes_give_the_original_receipt(site: Site):
    first, again = await site.push(FILE), await site.push(FILE)

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["duplicate"] is True
    assert again.json()["receipt_id"] == first.json()["receipt_id"]
    assert len(raw_files(site)) == 1


async def test_pushes_of_the_same_bytes_at_once_give_one_receipt(site: Site):
    answers = await asyncio.gather(*(site.push(FILE) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.json()["receipt_id"] for answer in answers}) == 1
    assert len(raw_files(site)) == 1


async def test_the_same_bytes_of_another_submitter_are_another_receipt(site: Site):
    mine, theirs = await site.push(FILE), await site.push(FILE, who="other")

    assert theirs.status_code == 202
    assert mine.json()["receipt_id"] != theirs.json()["receipt_id"]


async def test_another_submitters_receipt_does_not_exist(site: Site):
    receipt_id = (await site.push(FILE)).json()["receipt_id"]

    assert (await site.get(f"/v1/remittances/{receipt_id}")).status_code == 200
    assert (await site.get(f"/v1/remittances/{receipt_id}", "other")).status_code == 404


@pytest.mark.parametrize("who", ["viewer", "admin", "operator"])
async def test_only_submitters_push(site: Site, who: str):
    assert (await site.push(FILE, who=who)).status_code == 403


async def test_an_unknown_feed_is_told_with_its_remedy(site: Site):
    answer = await site.push(FILE, feed="elsewhere")

    assert answer.status_code == 404
    assert "feeds create" in answer.json()["remedy"]
    assert raw_files(site) == []


async def test_an_empty_body_is_refused_and_leaves_nothing(site: Site):
    answer = await site.push(b"")

    assert answer.status_code == 422
    assert raw_files(site) == []


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_above_the_limit_is_refused_and_leaves_nothing(site: Site, announced: bool):  # noqa: FBT001
    async def blocks():
        for _ in range(MAX_UPLOAD_BYTES // 100_000 + 1):
            yield bytes(100_000)

    answer = await site.push(bytes(MAX_UPLOAD_BYTES + 1) if announced else blocks())

    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:reprieve:problem:too-large"
    assert raw_files(site) == []


async def test_an_upload_that_breaks_off_leaves_nothing(site: Site):
    async def breaking():
        yield bytes(500_000)
        raise ConnectionResetError

    assert (await site.push(breaking())).is_error
    assert raw_files(site) == []
    assert await site.rows("select 1 from ingest.receipts") == []


async def test_a_full_disk_is_507_and_nothing_is_acknowledged(site: Site, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects.os, "fsync", full)
    answer = await site.push(FILE)
    monkeypatch.undo()

    assert answer.status_code == 507
    assert answer.json()["type"] == "urn:reprieve:problem:storage-full"
    assert await site.rows("select 1 from ingest.receipts") == []
    assert raw_files(site) == []
    assert (await site.push(FILE)).status_code == 202


async def test_feeds_are_opened_once_and_listed_to_their_submitter_only(site: Site):
    created = await site.client.post("/v1/feeds", json={"name": "nightly"}, headers=site.headers())
    again = await site.client.post("/v1/feeds", json={"name": "nightly"}, headers=site.headers())
    bad = await site.client.post("/v1/feeds", json={"name": "No Spaces"}, headers=site.headers())

    assert (created.status_code, again.status_code, bad.status_code) == (201, 200, 422)
    assert [one["name"] for one in (await site.get("/v1/feeds")).json()["data"]] == ["main", "nightly"]
    assert [one["name"] for one in (await site.get("/v1/feeds", "other")).json()["data"]] == ["main"]
