"""The door for files: what it unpacks, whom it believes, what it refuses, and that a refusal keeps nothing."""

import asyncio
import base64
import gzip
import io
import zipfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
import zstandard
from sqlalchemy import text
from standardwebhooks import Webhook

from services.ingest.app import api_app
from services.ingest.settings import IngestSettings
from services.ingest.store import idempotency
from services.ingest.store.receipts import due_receipts
from services.ingest.workers.reading import process
from shared.http.probes import Health
from shared.postgres import transaction
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, remittance
from tests.ingest.site import MASTER_KEY_TEXT, MAX_UPLOAD_BYTES, Site

FILE = remittance(TestSet([denied("A1")]))
OTHER_FILE = remittance(TestSet([denied("B1")]))


def raw_files(site: Site) -> list[Path]:
    return [path for path in site.vault.objects.folder.rglob("*") if path.is_file()]


async def push(site: Site, content: Any, *, client: httpx2.AsyncClient | None = None, **headers: str):
    return await (client or site.client).post(
        "/v1/remittances",
        params={"feed": "main"},
        content=content,
        headers={**site.headers(), **{name.replace("_", "-"): value for name, value in headers.items()}},
    )


async def nothing_was_kept(site: Site) -> bool:
    return raw_files(site) == [] and await site.rows("select 1 from ingest.receipts") == []


@asynccontextmanager
async def door(site: Site, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Open another door to the same site, with settings of its own."""
    of_door = IngestSettings(
        database_url=site.engine.url.render_as_string(hide_password=False),
        master_key=MASTER_KEY_TEXT,
        raw_dir=site.vault.objects.folder,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        **settings,
    )
    app = api_app(of_door, site.engine, vault=site.vault, health=Health())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://door") as client:
        yield client


# Compressed bodies


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(FILE, mtime=0)),
        ("x-gzip", gzip.compress(FILE, mtime=0)),
        ("GZIP", gzip.compress(FILE[:100], mtime=0) + gzip.compress(FILE[100:], mtime=0)),
        ("gzip", gzip.compress(FILE, mtime=0) + bytes(1)),
        ("gzip", gzip.compress(FILE, mtime=0) + bytes(10_240)),
        ("zstd", zstandard.compress(FILE)),
        ("zstd", zstandard.compress(FILE[:100]) + zstandard.compress(FILE[100:])),
        ("identity", FILE),
    ],
)
async def test_a_compressed_file_is_the_file_itself(site: Site, encoding: str, packed: bytes):
    pushed = await push(site, packed, content_encoding=encoding)

    assert pushed.status_code == 202, pushed.text
    assert (pushed.json()["sha256"], pushed.json()["size_bytes"]) == (sha256(FILE).hexdigest(), len(FILE))
    assert pushed.headers["accept-encoding"] == "gzip, zstd"
    plain = await push(site, FILE)
    assert (plain.status_code, plain.json()["duplicate"]) == (200, True)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(FILE, mtime=0)[:-1]),
        ("gzip", gzip.compress(FILE, mtime=0)[:20]),
        ("gzip", gzip.compress(FILE, mtime=0) + b"trailing"),
        ("gzip", gzip.compress(FILE, mtime=0) + bytes(5_000) + b"trailing"),
        ("gzip", bytes(512) + gzip.compress(FILE, mtime=0)),
        ("gzip", FILE),
        ("gzip", zlib.compress(FILE)),
        ("gzip", gzip.compress(FILE, mtime=0)[:-8] + b"\0" * 8),
        ("zstd", zstandard.compress(FILE)[:-1]),
        ("zstd", zstandard.compress(FILE) + b"trailing"),
        ("zstd", FILE),
        ("zstd", gzip.compress(FILE, mtime=0)),
        ("zstd", zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
        ).compressobj().compress(b"") + zstandard.compress(FILE)[:3]),
    ],
)  # fmt: skip
async def test_a_damaged_body_is_told_with_its_place_and_leaves_nothing(
    site: Site, encoding: str, packed: bytes
):
    answer = await push(site, packed, content_encoding=encoding)

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:reprieve:problem:damaged-encoding"
    assert "byte" in answer.json()["detail"]
    assert await nothing_was_kept(site)


def gzip_bomb() -> AsyncIterator[bytes]:
    return repeated(gzip.compress(bytes(10_000_000), 9), 1000)


def zstd_bomb() -> AsyncIterator[bytes]:
    return repeated(zstandard.compress(bytes(10_000_000), 19), 1000)


async def repeated(block: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield block


@pytest.mark.parametrize(("encoding", "bomb"), [("gzip", gzip_bomb), ("zstd", zstd_bomb)])
async def test_ten_gigabytes_of_zeros_are_refused_and_leave_nothing(site: Site, encoding: str, bomb: Any):
    async with asyncio.timeout(20):
        answer = await push(site, bomb(), content_encoding=encoding)

    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:reprieve:problem:too-dense"
    assert await nothing_was_kept(site)


@pytest.mark.parametrize(
    ("encoding", "nothing"),
    [
        ("gzip", gzip.compress(b"", mtime=0)),
        ("zstd", zstandard.compress(b"")),
        ("zstd", b"\x50\x2a\x4d\x18\0\0\0\0"),  # RFC 8878 3.1.2: a skippable frame
    ],
)
async def test_pieces_that_stand_for_nothing_are_not_unpacked_for_ever(
    site: Site, encoding: str, nothing: bytes
):
    few = await push(site, nothing * 60 + _packed(encoding, FILE), content_encoding=encoding)
    assert few.status_code == 202, few.text
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield nothing * 100

    many = await push(site, body(), content_encoding=encoding)
    assert (many.status_code, many.json()["type"]) == (413, "urn:reprieve:problem:too-dense")
    assert sent < 10


def _packed(encoding: str, content: bytes) -> bytes:
    return gzip.compress(content) if encoding == "gzip" else zstandard.compress(content)


async def skippable(size_bytes: int) -> AsyncIterator[bytes]:
    """Give one frame of so many bytes that stands for nothing."""
    yield b"\x50\x2a\x4d\x18" + size_bytes.to_bytes(4, "little")
    for _ in range(0, size_bytes, 100_000):
        yield bytes(100_000)


async def test_what_is_sent_is_bounded_whatever_it_stands_for(site: Site):
    answer = await push(site, skippable(3 * MAX_UPLOAD_BYTES), content_encoding="zstd")

    assert (answer.status_code, answer.json()["type"]) == (413, "urn:reprieve:problem:too-large")
    assert await nothing_was_kept(site)


async def test_what_is_sent_is_charged_whatever_it_stands_for(site: Site):
    async with door(site, push_bytes_per_minute=400_000) as client:
        empty = await push(site, skippable(500_000), client=client, content_encoding="zstd")
        second = await push(site, FILE, client=client)

    assert (empty.status_code, second.status_code) == (422, 429)


async def test_a_body_may_not_unpack_to_more_than_a_file_may_have(site: Site):
    digits = b"".join(b"%d*" % (number * 7919) for number in range(MAX_UPLOAD_BYTES // 8))
    assert len(digits) > MAX_UPLOAD_BYTES > len(gzip.compress(digits))

    answer = await push(site, gzip.compress(digits), content_encoding="gzip")

    assert answer.json()["type"] == "urn:reprieve:problem:too-large"
    assert await nothing_was_kept(site)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "aes128gcm", "compress"])
async def test_other_encodings_are_refused_with_a_remedy(site: Site, encoding: str):
    answer = await push(site, FILE, content_encoding=encoding)

    assert answer.status_code == 415
    assert "gzip or zstd" in answer.json()["remedy"]
    assert await nothing_was_kept(site)


@pytest.mark.parametrize(
    ("content_type", "remedy"),
    [
        ("multipart/form-data; boundary=x", "--data-binary"),
        ("application/x-www-form-urlencoded", "Content-Type: application/edi-x12"),
        ("application/json", "No JSON"),
        ("application/fhir+json", "No JSON"),
        ("application/zip", "Content-Encoding"),
        ("application/gzip", "Content-Encoding"),
        ("text/html", "application/edi-x12"),
        ("application/pdf", "application/edi-x12"),
    ],
)
async def test_other_kinds_of_body_are_refused_with_a_remedy(site: Site, content_type: str, remedy: str):
    answer = await push(site, FILE, content_type=content_type)

    assert answer.status_code == 415
    assert remedy in answer.json()["remedy"]
    assert await nothing_was_kept(site)


@pytest.mark.parametrize(
    "content_type",
    ["application/EDI-X12", "application/octet-stream", "text/plain; charset=us-ascii"],
)
async def test_plain_bytes_are_taken_under_each_of_their_names(site: Site, content_type: str):
    assert (await push(site, FILE, content_type=content_type)).status_code == 202


async def test_a_zip_is_kept_and_its_receipt_says_to_unzip_it(site: Site):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("one.835", FILE)

    receipt = await site.take_in(packed.getvalue())

    assert (receipt["status"], receipt["refused_reason"]) == ("refused", "zip_archive")
    assert "Unzip it" in receipt["findings"][0]["remedy"]


@pytest.mark.parametrize("encoding", ["base64", "Base64", "quoted-printable", "x-uuencode"])
async def test_what_mail_would_have_rewritten_is_refused_with_a_remedy(site: Site, encoding: str):
    answer = await push(site, base64.b64encode(FILE), content_transfer_encoding=encoding)

    assert answer.status_code == 415
    assert "without base64" in answer.json()["remedy"]
    assert await nothing_was_kept(site)


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT"])
async def test_a_transfer_encoding_that_rewrites_nothing_is_taken(site: Site, encoding: str):
    assert (await push(site, FILE, content_transfer_encoding=encoding)).status_code == 202


# Idempotency keys


async def test_a_key_gives_the_same_receipt_for_the_same_bytes_and_refuses_others(site: Site):
    first = await push(site, FILE, idempotency_key="night-1")
    again = await push(site, FILE, idempotency_key="night-1")
    packed = await push(site, gzip.compress(FILE), idempotency_key="night-1", content_encoding="gzip")
    other = await push(site, OTHER_FILE, idempotency_key="night-1")

    assert (first.status_code, again.status_code, packed.status_code) == (202, 200, 200)
    assert len({one.json()["receipt_id"] for one in (first, again, packed)}) == 1
    assert other.status_code == 422
    assert other.json()["type"] == "urn:reprieve:problem:idempotency-key-reused"
    assert len(await site.rows("select 1 from ingest.receipts")) == 1
    assert len(raw_files(site)) == 1


async def test_requests_with_one_key_at_once_end_in_one_receipt_or_a_conflict(site: Site):
    answers = await asyncio.gather(
        *(push(site, FILE if n % 2 else OTHER_FILE, idempotency_key="once") for n in range(10))
    )

    assert {one.status_code for one in answers} <= {200, 202, 409, 422}
    assert sum(one.status_code == 202 for one in answers) == 1
    assert len(await site.rows("select 1 from ingest.receipts")) == 1
    assert len(raw_files(site)) == 1


async def test_two_doors_agree_about_a_key(site: Site):
    async with door(site) as another:
        answers = await asyncio.gather(
            *(push(site, FILE, idempotency_key=f"k{n}") for n in range(20)),
            *(push(site, OTHER_FILE, client=another, idempotency_key=f"k{n}") for n in range(20)),
        )

    assert {one.status_code for one in answers} <= {200, 202, 422}
    kept = await site.rows("select key, receipt_id from ingest.idempotency_keys")
    assert len(kept) == 20
    for number in range(20):
        taken = [one for one in (answers[number], answers[20 + number]) if one.is_success]
        assert len(taken) == 1


async def test_a_key_is_its_submitters_own(site: Site):
    mine = await push(site, FILE, idempotency_key="night-1")
    theirs = await site.client.post(
        "/v1/remittances",
        params={"feed": "main"},
        content=OTHER_FILE,
        headers={**site.headers("other"), "Idempotency-Key": "night-1"},
    )

    assert (mine.status_code, theirs.status_code) == (202, 202)


@pytest.mark.parametrize("key", ["", "x" * 256, "gr\u00fcn"])
async def test_a_key_of_another_form_is_refused(site: Site, key: str):
    headers = [*site.headers().items(), ("Idempotency-Key", key.encode("latin-1"))]
    answer = await site.client.post("/v1/remittances", params={"feed": "main"}, content=FILE, headers=headers)

    assert answer.status_code == 422
    assert await nothing_was_kept(site)


async def test_a_key_is_forgotten_after_a_week(site: Site):
    await push(site, FILE, idempotency_key="old")
    await push(site, FILE, idempotency_key="new")
    async with transaction(site.owner, submitters=[site.submitter_id]) as connection:
        await connection.execute(
            text(
                "update ingest.idempotency_keys set created_at = now() - interval '8 days' where key = 'old'"
            )
        )

    await idempotency.forget_old_keys(site.engine, submitters=[site.submitter_id])

    assert [row.key for row in await site.rows("select key from ingest.idempotency_keys")] == ["new"]


# Waiting for the result


async def test_who_prefers_to_wait_gets_the_finished_receipt(site: Site):
    async def read_soon() -> None:
        while not (due := await due_receipts(site.engine, limit=10)):
            await asyncio.sleep(0.02)
        for submitter_id, receipt_id in due:
            ids = {"submitter_id": submitter_id, "receipt_id": receipt_id}
            await process(site.workshop, **ids, stop=asyncio.Event())

    answer, _ = await asyncio.gather(push(site, FILE, prefer="respond-async, wait=30"), read_soon())

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=30"
    assert (answer.json()["status"], answer.json()["claims_read"]) == ("processed", 1)
    assert answer.json()["duplicate"] is False


async def test_when_the_time_is_up_the_receipt_comes_as_it_stands(site: Site):
    answer = await push(site, FILE, prefer="wait=1")

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.json()["status"] == "received"


async def test_nobody_waits_longer_than_a_minute_nor_for_what_is_no_number(site: Site):
    from services.ingest.intake.waiting import wanted_seconds

    asked = [
        "wait=5",
        "wait=9999",
        "respond-async",
        None,
        "wait=-1",
        "wait=x",
        'WAIT="7"',
        "await=3",
        "wait=3;x",
    ]
    assert [wanted_seconds(one) for one in asked] == [5, 60, 0, 0, 0, 0, 7, 0, 3]


# Limits


async def test_a_key_that_pushes_too_much_is_told_when_to_go_on(site: Site):
    async with door(site, push_requests_per_minute=2) as client:
        answers = [await push(site, FILE, client=client) for _ in range(5)]

    assert 429 in {one.status_code for one in answers}
    refused = next(one for one in answers if one.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert refused.json()["type"] == "urn:reprieve:problem:too-many-requests"


async def test_bytes_are_counted_as_they_are_unpacked(site: Site):
    async with door(site, push_bytes_per_minute=400_000) as client:
        dense = gzip.compress(bytes(500_000))
        first = await push(site, dense, client=client, content_encoding="gzip")
        second = await push(site, FILE, client=client)

    assert len(dense) < 1000
    assert (first.status_code, second.status_code) == (202, 429)


async def test_one_keys_hurry_costs_no_other(site: Site):
    async with door(site, push_requests_per_minute=1) as client:
        for _ in range(3):
            await push(site, FILE, client=client)
        theirs = await client.post(
            "/v1/remittances", params={"feed": "main"}, content=FILE, headers=site.headers("other")
        )

    assert theirs.status_code == 202


async def test_the_door_closes_while_too_many_files_wait(site: Site):
    await push(site, FILE)
    await push(site, OTHER_FILE)
    async with door(site, waiting_files_max=1) as client:
        answer = await push(site, FILE, client=client)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) == 30


async def test_the_door_closes_while_the_disk_is_nearly_full(site: Site):
    async with door(site, free_bytes_min=1 << 60) as client:
        answer = await push(site, FILE, client=client)

    assert answer.status_code == 507
    assert answer.json()["type"] == "urn:reprieve:problem:storage-full"
    assert int(answer.headers["retry-after"]) == 30
    assert await nothing_was_kept(site)


# Signed requests


async def secret_of(site: Site) -> str:
    made = await site.client.post("/v1/feeds/main/secrets", headers=site.headers())
    return str(made.json()["secret"])


def signature(
    secret: str, body: bytes, *, made: datetime | None = None, name: str = "msg_1"
) -> dict[str, str]:
    """Sign as the library of Standard Webhooks does."""
    made = made or datetime.now(UTC)
    return {
        "webhook_id": name,
        "webhook_timestamp": str(int(made.timestamp())),
        "webhook_signature": Webhook(secret).sign(name, made, body.decode("latin-1")),
    }


async def test_a_signed_request_is_taken_and_an_unsigned_one_is_not(site: Site):
    secret = await secret_of(site)

    unsigned = await push(site, FILE)
    assert (unsigned.status_code, await nothing_was_kept(site)) == (401, True)
    assert unsigned.json()["type"] == "urn:reprieve:problem:signature"
    assert (await push(site, FILE, **signature(secret, FILE))).status_code == 202


async def test_the_body_is_signed_as_it_is_sent(site: Site):
    secret = await secret_of(site)
    headers = {"webhook_id": "m", "webhook_timestamp": str(int(datetime.now(UTC).timestamp()))}
    packed = zstandard.compress(FILE)
    over = [packed, FILE]
    import base64
    import hmac

    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = [
        "v1,"
        + base64.b64encode(
            hmac.digest(key, f"m.{headers['webhook_timestamp']}.".encode() + body, "sha256")
        ).decode()
        for body in over
    ]

    wrong = await push(site, packed, **headers, webhook_signature=signed[1], content_encoding="zstd")
    assert (wrong.status_code, await nothing_was_kept(site)) == (401, True)
    right = await push(site, packed, **headers, webhook_signature=signed[0], content_encoding="zstd")
    assert right.status_code == 202


@pytest.mark.parametrize(
    "spoiled",
    [
        {"webhook_signature": "v1,AAAA"},
        {"webhook_signature": "v1,not base64!"},
        {"webhook_signature": ""},
        {"webhook_signature": "v2,AAAA"},
        {"webhook_timestamp": "yesterday"},
        {"webhook_timestamp": "1e400"},
        {"webhook_timestamp": "99999999999999999999"},
        {"webhook_id": "msg_2"},
        {"webhook_id": ""},
    ],
)
async def test_a_request_that_is_signed_otherwise_is_refused_and_leaves_nothing(
    site: Site, spoiled: dict[str, str]
):
    secret = await secret_of(site)

    answer = await push(site, FILE, **{**signature(secret, FILE), **spoiled})

    assert answer.status_code == 401
    assert await nothing_was_kept(site)


@pytest.mark.parametrize(("age", "status"), [(-310, 401), (-290, 202), (290, 202), (310, 401)])
async def test_a_signature_is_good_for_five_minutes_before_and_after(site: Site, age: int, status: int):
    secret = await secret_of(site)
    made = datetime.now(UTC) + timedelta(seconds=age)

    assert (await push(site, FILE, **signature(secret, FILE, made=made))).status_code == status


async def test_while_secrets_are_exchanged_both_sign(site: Site):
    old, new = await secret_of(site), await secret_of(site)

    assert (await push(site, FILE, **signature(old, FILE, name="a"))).status_code == 202
    assert (await push(site, OTHER_FILE, **signature(new, OTHER_FILE, name="b"))).status_code == 202
    both = signature(new, FILE, name="c")
    both["webhook_signature"] = "v1,AAAA " + both["webhook_signature"]
    assert (await push(site, FILE, **both)).status_code == 200


async def test_a_removed_secret_signs_no_more_and_without_any_the_feed_is_open(site: Site):
    made = (await site.client.post("/v1/feeds/main/secrets", headers=site.headers())).json()
    assert (await push(site, FILE)).status_code == 401
    await site.client.delete(f"/v1/feeds/main/secrets/{made['secret_id']}", headers=site.headers())

    assert (await push(site, FILE)).status_code == 202


async def test_a_replayed_message_is_its_first_receipt_and_never_another_body(site: Site):
    secret = await secret_of(site)
    first = await push(site, FILE, **signature(secret, FILE))
    replayed = await push(site, FILE, **signature(secret, FILE))
    other = await push(site, OTHER_FILE, **signature(secret, OTHER_FILE))

    assert (first.status_code, replayed.status_code, other.status_code) == (202, 200, 422)
    assert first.json()["receipt_id"] == replayed.json()["receipt_id"]


async def test_a_message_id_is_its_feeds_own(site: Site):
    await site.client.post("/v1/feeds", json={"name": "second"}, headers=site.headers())
    secret = await secret_of(site)
    made = await site.client.post("/v1/feeds/second/secrets", headers=site.headers())
    assert (await push(site, FILE, **signature(secret, FILE))).status_code == 202

    signed = signature(str(made.json()["secret"]), OTHER_FILE)
    headers = {name.replace("_", "-"): value for name, value in signed.items()}
    other = await site.client.post(
        "/v1/remittances",
        params={"feed": "second"},
        content=OTHER_FILE,
        headers={**site.headers(), **headers},
    )
    assert other.status_code == 202, other.text


# Feeds and held sets


@pytest.mark.parametrize("feed", ["nowhere", "", "x" * 63, "' or 1=1 --", "../main", "MAIN"])
async def test_a_feed_that_is_not_there_takes_nothing(site: Site, feed: str):
    answer = await site.client.post(
        "/v1/remittances", params={"feed": feed}, content=FILE, headers=site.headers()
    )

    assert answer.status_code == 404
    assert await nothing_was_kept(site)


async def test_a_receipt_says_in_words_what_is_held(site: Site):
    file = remittance(
        TestSet([denied("A1")]), TestSet([denied("B1"), denied("B2")], npi=OTHER_NPI, trace="T2")
    )

    receipt = await site.take_in(file)

    assert (receipt["held_transaction_sets"], receipt["held_claims"]) == (1, 2)
    (held,) = receipt["held"]
    assert (held["set_ordinal"], held["claims_read"], held["charge_amount"]) == (2, 2, "1000")
    assert OTHER_NPI in held["explanation"]
    assert "2 claims, charges 1,000.00" in held["explanation"]
    await site.register(OTHER_NPI)
