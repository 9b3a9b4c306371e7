"""`reprieve push` against a real ingest: no file costs another, and what is wrong is told with its place."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.ingest.app import api_app
from services.ingest.packing import Packing, pack
from services.ingest.push_report import print_table
from services.ingest.pushing import NotPushed, Outcome, Pushed
from services.ingest.settings import IngestSettings
from services.ingest.simulate import Simulation, simulate
from shared.http.probes import Health
from shared.postgres import transaction
from tests.http.test_server_and_client import serving
from tests.ingest.domain.files import SAMPLES
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import MASTER_KEY_TEXT, MAX_UPLOAD_BYTES, Site

OTHER = remittance(TestSet([denied("Z1")], trace="Z"))
GOOD = SAMPLES / "professional.835"
FAULTY = SAMPLES / "issues" / "amount-with-currency.835"


@dataclass
class Told:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
async def push(site: Site, tmp_path: Path):
    settings = IngestSettings(
        database_url=site.engine.url.render_as_string(hide_password=False),
        master_key=MASTER_KEY_TEXT,
        raw_dir=tmp_path / "raw",
        max_upload_bytes=MAX_UPLOAD_BYTES,
    )
    app = api_app(settings, site.engine, vault=site.vault, health=Health())
    async with serving(app) as (url, _):

        async def run(*words: object, stdin: bytes = b"") -> Told:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.cli", "push", "--feed", "main", *map(str, words)),
                env={
                    **os.environ,
                    "REPRIEVE_INGEST_URL": url,
                    "REPRIEVE_API_KEY": site.keys["submitter"],
                    "COLUMNS": "300",
                },
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate(stdin)
            assert process.returncode is not None
            assert b"Traceback" not in err
            return Told(process.returncode, out.decode(), err.decode())

        yield run


async def test_a_bad_file_costs_no_other(push, site: Site, tmp_path: Path):
    (tmp_path / "empty.835").touch()
    with (tmp_path / "large.835").open("wb") as large:
        large.truncate(MAX_UPLOAD_BYTES + 1)
    (tmp_path / "folder").mkdir()
    bad = [tmp_path / name for name in ("empty.835", "folder", "missing.835", "large.835")]

    told = await push(*bad, GOOD)

    assert told.status == 2
    assert "received" in told.out
    for path in bad:
        assert f"{path}: " in told.err
    (row,) = await site.rows("select file_name from ingest.receipts")
    assert row.file_name == GOOD.name


async def test_a_file_that_was_cut_is_told_with_exit_status_1(push, site: Site, tmp_path: Path):
    (tmp_path / "cut.835").write_bytes(OTHER[: OTHER.index(b"CAS*")])
    await push(tmp_path / "cut.835", GOOD)
    await site.read_due()

    told = await push("--wait", tmp_path / "cut.835", GOOD)
    assert told.status == 1
    assert "cut: ask for it again" in told.out
    assert "1 cut: ask for the whole file." in told.out
    shown = await push("--wait", "--format", "json", tmp_path / "cut.835", GOOD)
    assert [line["truncated"] for line in shown.lines] == [True, False]


async def test_a_file_that_came_through_another_feed_ends_the_silence_of_this_one(push, site: Site):
    made = await site.client.post("/v1/feeds", json={"name": "second"}, headers=site.headers("submitter"))
    assert made.status_code == 201, made.text
    await push(GOOD)
    assert await seen_again(site) == {"main": False, "second": False}

    told = await push("--feed", "second", "--format", "json", GOOD)

    assert [line["duplicate"] for line in told.lines] == [True]
    assert await seen_again(site) == {"main": False, "second": True}


async def seen_again(site: Site) -> dict[str, bool]:
    found = await site.rows("select name, last_duplicate_at is not null as seen from ingest.feeds")
    return {row.name: row.seen for row in found}


async def test_programs_are_told_of_each_file_as_well(push, tmp_path: Path):
    with (tmp_path / "large.835").open("wb") as large:
        large.truncate(MAX_UPLOAD_BYTES + 1)

    told = await push("--format", "json", tmp_path / "large.835", GOOD)

    assert told.status == 1, "ingest refused one, and every file could be read"
    refused, taken = told.lines
    assert refused["refused"]
    assert refused["remedy"]
    assert taken["status"] == "received"
    assert (await push("--format", "json", tmp_path / "missing", GOOD)).lines[0]["unreadable"]


async def test_standard_input_is_sent(push, site: Site):
    told = await push("--format", "json", "-", stdin=GOOD.read_bytes())

    assert (told.status, told.lines[0]["size_bytes"]) == (0, GOOD.stat().st_size)
    (row,) = await site.rows("select file_name from ingest.receipts")
    assert row.file_name is None
    assert (await push("-")).status == 1, "nothing came"


async def test_a_file_of_any_name_is_sent(push, tmp_path: Path):
    odd = os.fsencode(tmp_path) + b"/odd\n\xff.835"
    Path(os.fsdecode(odd)).write_bytes(GOOD.read_bytes())

    told = await push(os.fsdecode(odd))

    assert told.status == 0, told.err


async def test_findings_are_told_with_their_place_and_remedy(push, site: Site, tmp_path: Path):
    (tmp_path / "noise").write_bytes(b"%PDF-1.7 not an 835")
    await push(FAULTY, tmp_path / "noise")
    await site.read_due()

    told = await push(FAULTY, tmp_path / "noise")

    assert told.status == 1
    (found,) = [line for line in told.out.splitlines() if "An amount cannot be read" in line]
    assert "(CAS), element 3, byte " in found
    assert "Tell the payer" in found
    (refused,) = [line for line in told.out.splitlines() if "The file is a PDF" in line]
    assert "byte 0" in refused
    assert "2 files: 0 new, 1 there before, 1 refused, 0 not pushed" in told.out
    assert "1 finding" in told.out
    assert "1 findings" not in told.out


def pushes() -> float:
    labels = {"method": "POST", "route": "/v1/remittances"}
    found = (
        REGISTRY.get_sample_value("reprieve_http_requests_total", {**labels, "status": status})
        for status in ("200", "202")
    )
    return sum(one or 0 for one in found)


def folder_of(path: Path, count: int) -> Path:
    path.mkdir()
    for number in range(count):
        (path / f"{number:03}.835").write_bytes(
            remittance(TestSet([denied(f"F{number}")], trace=f"T{number}"))
        )
    return path


async def test_a_folder_is_pushed_and_what_is_there_is_not_sent_again(push, site: Site, tmp_path: Path):
    folder = folder_of(tmp_path / "many", 30)
    (folder / ".hidden").write_bytes(b"x")
    (folder / "growing.835.part").write_bytes(b"x")
    (tmp_path / "elsewhere.835").write_bytes(b"x")
    (folder / "link.835").symlink_to(tmp_path / "elsewhere.835")
    first = sorted(folder.glob("0*.835"))[:12]
    before = pushes()
    assert (await push(*first)).status == 0  # as if the rest had been interrupted
    assert pushes() - before == 12

    told = await push("--connections", 8, folder)

    assert told.status == 0, told.err
    assert "30 files: 18 new, 12 there before, 0 refused, 0 not pushed" in told.out
    assert pushes() - before == 30
    assert len(await site.rows("select 1 from ingest.receipts")) == 30
    again = await push("--again", "--format", "json", f"{folder}/00*.835")
    assert [one["duplicate"] for one in again.lines] == [True] * 10
    assert pushes() - before == 40


async def test_a_file_that_the_reader_gave_up_is_sent_again(push, site: Site):
    await push(GOOD)
    async with transaction(site.engine, submitters=[site.submitter_id]) as connection:
        await connection.execute(
            text("update ingest.receipts set status = 'refused', refused_reason = 'defect', due = false")
        )

    await push(GOOD)

    (row,) = await site.rows("select status, due from ingest.receipts")
    assert (row.status, row.due) == ("received", True)


async def test_a_signing_feed_takes_what_push_signs(
    push, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = await site.client.post("/v1/feeds/main/secrets", headers=site.headers())
    large = tmp_path / "large.835"
    large.write_bytes(b"".join(simulate(Simulation(claims=400))))
    assert (await push(GOOD)).status == 2, "unsigned"
    unset = await push("--sign", GOOD)
    assert (unset.status, "There is no signing secret" in unset.err) == (2, True)
    monkeypatch.setenv("REPRIEVE_SIGNING_SECRET", made.json()["secret"])

    told = await push("--sign", "--format", "json", GOOD, large)

    assert told.status == 0, told.err
    assert [one["sha256"] for one in told.lines] == [
        sha256(one.read_bytes()).hexdigest() for one in (GOOD, large)
    ]
    assert (await push("--sign", "-", stdin=OTHER)).status == 1, "a pipe cannot be signed"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [(OTHER, None), (b"".join(simulate(Simulation(claims=100))), "zstd"), (b"0" * 10**6, None)],
)
def test_what_pays_is_compressed(tmp_path: Path, content: bytes, encoding: str | None):
    file = tmp_path / "one"
    file.write_bytes(content)
    with file.open("rb") as opened:
        body = pack(opened, len(content), Packing(compress=True))
        sent = b"".join(body.blocks)

    assert body.headers.get("Content-Encoding") == encoding
    assert int(body.headers["Content-Length"]) == len(sent)
    assert (zstandard.ZstdDecompressor().decompressobj().decompress(sent) if encoding else sent) == content


def test_a_receipt_stays_whole_on_a_narrow_screen_and_each_file_is_counted_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    receipt = {
        "receipt_id": "0f0e0d0c-0b0a-4a0b-8c0d-0e0f00010203",
        "status": "processed",
        "claims_read": 123456,
        "held_transaction_sets": 12,
        "finding_count": 0,
        "findings": [],
        "size_bytes": 1,
    }
    name = "a-rather-long-name-of-a-clearinghouse-20261104-0600.835"
    outcomes: list[Outcome] = [
        *(Pushed(name, {**receipt, "duplicate": duplicate}) for duplicate in (True, False)),
        Pushed(name, {**receipt, "duplicate": True, "status": "refused"}),
        NotPushed(name, "It is empty.", "Fetch it again."),
    ]

    print_table(outcomes)

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert text.count(receipt["receipt_id"]) == 3
    assert text.count("payee") == text.count("123456") == 3, "what is to be done is not cut"
    assert "…" not in text
    assert "4 files: 1 new, 1 there before, 1 refused, 1 not pushed" in text


async def test_help_names_the_argument():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "push", "--help"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert "FILE…" in out.decode()
