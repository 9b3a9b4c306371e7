"""`reprieve push` against a real ingest: no file costs another, and what is wrong is told with its place."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.ingest.app import api_app
from services.ingest.settings import IngestSettings
from shared.http.probes import Health
from tests.http.test_server_and_client import serving
from tests.ingest.domain.files import SAMPLES
from tests.ingest.site import MASTER_KEY_TEXT, MAX_UPLOAD_BYTES, Site

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
    bad = [tmp_path / "empty.835", tmp_path, tmp_path / "missing.835", tmp_path / "large.835"]

    told = await push(*bad, GOOD)

    assert told.status == 2
    assert "received" in told.out
    for path in bad:
        assert f"{path}: " in told.err
    (row,) = await site.rows("select file_name from ingest.receipts")
    assert row.file_name == GOOD.name


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
    (refused,) = [line for line in told.out.splitlines() if "no ISA segment" in line]
    assert "byte 0" in refused
    assert "1 finding" in told.out
    assert "1 findings" not in told.out


async def test_help_names_the_argument():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "push", "--help"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert "FILE…" in out.decode()
