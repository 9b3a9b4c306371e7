"""The fuzz target, briefly, and what it is worth: it finds what is planted."""

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from services.ingest.domain import reader
from services.ingest.domain.findings import Finding
from services.ingest.domain.remittance import FileClosed
from services.triage.policies import shipped_policies
from tests.ingest.fuzz import mutations, runs
from tests.ingest.fuzz.judge import judge
from tests.ingest.x12.envelopes import isa

BEGIN = isa() + b"GS*HP*S*R*20261104*0600*1*X*005010X221A1~ST*835*0001~LX*1~CLP*A*1*9*0~"

FOUND = {
    "torn envelopes": BEGIN + b"ISA~" * 50_000,
    "a wide element of blanks": BEGIN + b"CAS*CO*197*9~REF*6R*" + b" " * 65_000 + b"x~",
    "a wide element of empty components": BEGIN + b"SVC*HC:99213" + b":" * 65_000 + b"x*9*0~CAS*CO*197*9~",
    "a wide segment of empty elements": BEGIN + b"LQ*HE" + b"*" * 65_000 + b"x~",
    "a bare IEA before a set": BEGIN + b"IEA~ST*835*0002~CLP*A*1*9*0~",
    "a padded count": BEGIN + b"SE*4*0001~GE*" + b" " * 19 + b"1*1~",
    "a giant at the end": BEGIN + b"N" * 65_560,
    "a giant within a claim": BEGIN + b"N" * 70_000 + b"~CAS*CO*197*9~",
    "giant amounts": BEGIN + b"".join(b"CAS*CO*197*%d%s~" % (n, b"9" * 60_000) for n in range(20)),
}


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> runs.Worker:
    monkeypatch.setattr(runs, "KEPT", tmp_path)
    return runs.Worker()


@pytest.mark.slow
def test_a_brief_run_finds_nothing():
    command = [
        sys.executable,
        "-m",
        "tests.ingest.fuzz",
        "--seed",
        "835",
        "--cases",  # the same ones, however quick the machine is: others may find something, in `make fuzz`
        "3000",
        "--seconds",
        "300",
        "--workers",
        "1",
    ]
    told = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, cwd=Path(__file__).parents[3]
    )
    print(told.stdout)

    assert told.returncode == 0, told.stdout
    assert int(re.search(r"([\d,]+) cases", told.stdout)[1].replace(",", "")) >= runs.BATCH


@pytest.mark.parametrize("name", FOUND)
def test_what_it_found_before_stays_mended(worker: runs.Worker, name: str):
    worker.attempt(name, FOUND[name])


def test_the_same_number_is_the_same_file():
    files = mutations.sources()
    once, again = ([mutations.hostile(f"a:{number}", files) for number in range(300)] for _ in range(2))

    assert once == again
    assert len(set(once)) > 250
    assert any(mutations.PLANTED in text for text in files)


def test_a_failure_is_made_as_small_as_it_can_be():
    assert mutations.minimal(b"a" * 500 + b"X" + b"b" * 900 + b"Y", lambda text: b"X" in text) == b"X"


def _raising(_):
    raise KeyError


def _forever(_):
    while True:
        yield from ()


def _forgetful(blocks):
    *items, closed = real_read(blocks)
    return [*items, FileClosed(**{**fields(closed), "bytes_read": closed.bytes_read - 1})]


def _talkative(blocks):
    *items, closed = real_read(blocks)
    leak = Finding("not_x12", f"{mutations.PLANTED.decode()} is not X12.", "None.", "error")
    return [*items, FileClosed(**{**fields(closed), "findings": (leak,)})]


def _partial(blocks):
    return [item for item in real_read(blocks) if not hasattr(item, "claim")]


def fields(closed):
    return {name: getattr(closed, name) for name in closed.__struct_fields__}


real_read = reader.read


@pytest.mark.parametrize("fault", [_raising, _forever, _forgetful, _talkative, _partial])
def test_what_goes_wrong_is_noticed_and_kept(worker: runs.Worker, monkeypatch, tmp_path: Path, fault):
    monkeypatch.setattr(runs, "_SECONDS", 0.2)
    monkeypatch.setattr(reader, "read", fault)
    tally = runs.Tally()
    for number in range(5):
        worker.case(f"a:{number}", tally)

    assert tally.failures
    assert len(list(tmp_path.iterdir())) == len(tally.failures)


def test_a_sound_file_passes():
    assert (
        judge(BEGIN + b"CAS*CO*197*9~SE*5*0001~GE*1*1~IEA*1*000000001~", Random(1), shipped_policies()) == 1  # noqa: S311
    )
