"""Raw files go to Google's and Azure's stores by the same code: a matter of the URL and the stores' own variables."""

import json
from collections.abc import Iterator

import pytest

from shared.errors import InvalidInputError, UnavailableError, UnreadableError
from shared.security.sealing import MasterKey
from shared.storage.objects import Objects
from shared.storage.vault import CHUNK_BYTES, Vault
from tests.storage.test_vault import contents, keep
from tests.support.object_stores import FakeObjectStore, object_store

URLS = ["gs://raw/some/prefix", "az://raw/some/prefix"]
LARGE = 13 * 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[FakeObjectStore]:
    with object_store() as running:
        yield running


@pytest.fixture
def fake(server: FakeObjectStore, monkeypatch: pytest.MonkeyPatch) -> FakeObjectStore:
    """An empty store; the process is told where it is by the variables of Google's and Azure's tools."""
    server.objects.clear()
    server.parts.clear()
    told(monkeypatch, port=server.port)
    return server


def told(monkeypatch: pytest.MonkeyPatch, *, port: int) -> None:
    account = {"gcs_base_url": f"http://127.0.0.1:{port}", "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    for name, value in {
        "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account),
        "GOOGLE_ALLOW_HTTP": "true",
        "AZURE_STORAGE_ACCOUNT_NAME": "account",
        "AZURE_STORAGE_ACCOUNT_KEY": "a2V5",
        "AZURE_ENDPOINT": f"http://127.0.0.1:{port}",
        "AZURE_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("size", [1, CHUNK_BYTES + 1, LARGE])
def test_a_file_of_any_size_comes_out_as_it_went_in(fake: FakeObjectStore, url: str, size: int):
    vault = Vault(url, MasterKey(bytes(32)))
    content = contents(size)
    stored = keep(vault, content, cuts=[1, size // 2])

    with vault.open(stored) as reader:
        assert b"".join(reader.blocks()) == content
    (path,) = fake.objects
    assert path.endswith(f"raw/some/prefix/{stored.storage_key[:2]}/{stored.storage_key}")
    vault.remove(stored.storage_key)
    vault.remove(stored.storage_key)
    with pytest.raises(UnreadableError):
        vault.open(stored)


@pytest.mark.parametrize("url", URLS)
def test_an_upload_that_is_given_up_leaves_no_object(fake: FakeObjectStore, url: str):
    writer = Vault(url, MasterKey(bytes(32))).writer()
    writer.write(bytes(LARGE))
    writer.discard()

    assert fake.objects == {}


@pytest.mark.parametrize("url", URLS)
def test_a_silent_store_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch):
    told(monkeypatch, port=1)
    with pytest.raises(UnavailableError):
        Objects(url).size("00")


@pytest.mark.parametrize("url", ["ftp://host/folder", "gs://", "az://", "s3://", "folder"])
def test_what_is_no_place_for_raw_files_is_refused_at_the_start(url: str):
    with pytest.raises(InvalidInputError):
        Objects(url)
