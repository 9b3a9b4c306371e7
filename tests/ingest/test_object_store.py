"""Raw files in an object store behave like raw files in a folder. The store is a real server that speaks S3."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from shared.errors import UnavailableError, UnreadableError
from shared.security.sealing import MasterKey
from shared.storage.vault import CHUNK_BYTES, Vault
from tests.ingest.remittances import TestSet, denied, paid, remittance
from tests.ingest.site import open_site
from tests.storage.test_vault import contents, keep
from tests.support.database import Database

BUCKET = "raw"
LARGE = 13 * 1024 * 1024


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def s3(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket; the process is told where it is as any process of Amazon's tools is."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=one["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def vault(s3: Any) -> Vault:
    return Vault(f"s3://{BUCKET}/some/prefix", MasterKey(bytes(32)))


def keys(s3: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def uploads(s3: Any) -> list[Any]:
    return s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * 1024 * 1024, LARGE])
def test_a_file_of_any_size_comes_out_as_it_went_in(vault: Vault, s3: Any, size: int):
    content = contents(size)
    stored = keep(vault, content, cuts=[1, 1000, size // 2])

    with vault.open(stored) as reader:
        assert b"".join(reader.blocks()) == content
        assert reader.read(size // 3, 100) == content[size // 3 : size // 3 + 100]
    assert keys(s3) == [f"some/prefix/{stored.storage_key[:2]}/{stored.storage_key}"]


def test_a_large_file_goes_out_in_parts_while_it_comes_in(vault: Vault, s3: Any):
    writer = vault.writer()
    for _ in range(LARGE // CHUNK_BYTES):
        writer.write(bytes(CHUNK_BYTES))
        assert len(writer._object._gathered) <= vault.objects.part_bytes

    until = time.monotonic() + 60
    while not uploads(s3):  # which another thread begins
        assert time.monotonic() < until, "nothing goes out before the end"
        time.sleep(0.01)
    assert len(uploads(s3)) == 1
    assert writer.keep().size_bytes == LARGE
    assert uploads(s3) == []


def test_an_upload_that_is_given_up_leaves_neither_object_nor_parts(vault: Vault, s3: Any):
    for size in (100, LARGE):
        writer = vault.writer()
        writer.write(bytes(size))
        writer.discard()

    assert (keys(s3), uploads(s3)) == ([], [])
    assert not [one for one in threading.enumerate() if one.name == "object writer"]


def test_what_was_changed_is_noticed(vault: Vault, s3: Any):
    stored = keep(vault, contents(3 * CHUNK_BYTES))
    (key,) = keys(s3)
    sealed = bytearray(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    sealed[CHUNK_BYTES + 100] ^= 1
    s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(sealed))

    with pytest.raises(UnreadableError), vault.open(stored) as reader:
        list(reader.blocks())
    assert vault.is_whole(stored) is False


def test_a_lost_object_is_a_damaged_file_and_a_silent_store_is_waited_for(
    vault: Vault, s3: Any, monkeypatch: pytest.MonkeyPatch
):
    stored = keep(vault, contents(100))
    vault.remove(stored.storage_key)
    vault.remove(stored.storage_key)
    with pytest.raises(UnreadableError):
        vault.open(stored)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    silent = Vault(f"s3://{BUCKET}", MasterKey(bytes(32)))
    with pytest.raises(UnavailableError):
        silent.open(stored)
    for size in (100, LARGE):
        writer = silent.writer()
        with pytest.raises(UnavailableError):  # noqa: PT012  either step may be the one
            writer.write(bytes(size))
            writer.keep()
        writer.discard()


async def test_a_whole_site_works_on_an_object_store(database: Database, s3: Any):
    """Push, read, and the follow-up that reads one claim of an older file again."""
    async with open_site(database, f"s3://{BUCKET}/site") as site:
        await site.take_in(remittance(TestSet([paid("A1"), paid("B1")]), control=1))
        receipt = await site.take_in(remittance(TestSet([denied("A1")], trace="T2"), control=2))
        again = await site.push(remittance(TestSet([denied("A1")], trace="T2"), control=2))

        assert receipt["status"] == "processed"
        assert again.json()["duplicate"] is True
        assert sorted(type(event).__name__ for event in await site.events()) == [
            "ClaimAdjudicated",
            "ClaimDenied",
        ]
    assert len(keys(s3)) == 2
