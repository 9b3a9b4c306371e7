"""`reprieve explain` on files, as a person calls it."""

import csv
import io
import json
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from services.demo import remittances
from tests.support.stack import REPRIEVE

TODAY = date(2026, 11, 21)


def explain(*arguments: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [REPRIEVE, "explain", *map(str, arguments)],
        input=given,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def samples(tmp_path: Path) -> list[Path]:
    paths = []
    for name, content in remittances(TODAY):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    return paths


def test_the_samples_hold_the_denials_that_they_were_written_to_hold(samples: list[Path]) -> None:
    told = explain("--format", "json", "--as-of", str(TODAY), *samples)
    rows = [json.loads(line) for line in told.stdout.splitlines()]

    assert told.returncode == 0, told.stderr
    assert len(rows) == 7
    assert sum(row["auth_related"] for row in rows) == 4
    assert sum(Decimal(item["amount"]) for row in rows for item in row["denied"]) == 20445
    assert not told.stderr


def test_people_get_a_table_and_programs_get_csv(samples: list[Path]) -> None:
    table = explain("--as-of", str(TODAY), *samples).stdout.decode()
    rows = list(
        csv.DictReader(
            io.StringIO(explain("--format", "csv", "--as-of", str(TODAY), *samples).stdout.decode())
        )
    )

    assert "LS-20417" in table
    assert len(rows) == 7


def test_the_same_day_gives_the_same_bytes(samples: list[Path]) -> None:
    once, again = (explain("--format", "json", "--as-of", str(TODAY), *samples).stdout for _ in range(2))

    assert once == again


def test_no_patient_is_in_what_is_printed(samples: list[Path]) -> None:
    for shown_as in ("table", "json", "csv"):
        told = explain("--format", shown_as, "--as-of", str(TODAY), *samples)
        assert b"FAIRWEATHER" not in told.stdout + told.stderr
        assert b"W900000417" not in told.stdout + told.stderr


def test_standard_input_is_a_file_like_any_other(samples: list[Path]) -> None:
    told = explain("--format", "json", "-", given=samples[0].read_bytes())

    assert told.returncode == 0
    assert len(told.stdout.splitlines()) == 3


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_still_explained(
    samples: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "letter.835").write_text("Dear provider,")
    told = explain("--format", "json", tmp_path / "letter.835", tmp_path / "nowhere.835", samples[0])

    assert told.returncode == 2
    assert len(told.stdout.splitlines()) == 3
    errors = told.stderr.decode()
    assert "letter.835: byte 0" in errors
    assert "nowhere.835: No such file" in errors
    assert "Traceback" not in errors


def test_a_folder_is_explained_as_its_files_are(samples: list[Path], tmp_path: Path) -> None:
    within = tmp_path / "of today"
    within.mkdir()
    for one in samples:
        (within / one.name).write_bytes(one.read_bytes())
    (within / "growing.835.part").write_bytes(b"ISA")
    day = ("--as-of", str(TODAY), "--format", "csv")

    told = explain(*day, tmp_path)

    assert told.returncode == 0
    assert told.stdout == explain(*day, *sorted(within.glob("*.835"))).stdout
    assert told.stdout


def test_a_file_that_was_cut_is_explained_as_far_as_it_goes_and_said_to_be_cut(samples: list[Path]) -> None:
    told = explain("--format", "json", "-", given=samples[0].read_bytes()[:-250])

    assert told.returncode == 1
    assert b"[set_truncated]" in told.stderr
    assert len(told.stdout.splitlines()) >= 2


@pytest.mark.parametrize("shown_as", ["table", "json", "csv"])
def test_a_remittance_that_comes_twice_counts_once_and_that_is_said(
    samples: list[Path], tmp_path: Path, shown_as: str
) -> None:
    (tmp_path / "copy.835").write_bytes(samples[0].read_bytes())
    (tmp_path / "twice.835").write_bytes(samples[0].read_bytes() * 2)
    once, copied, twice = (
        explain("--format", shown_as, "--as-of", str(TODAY), *files)
        for files in ((samples[0],), (samples[0], tmp_path / "copy.835"), (tmp_path / "twice.835",))
    )

    assert "3 repeated denials left out" in copied.stderr.decode()
    assert "3 repeated denials left out" in twice.stderr.decode()
    assert b"repeated" not in once.stderr
    if shown_as != "json":  # there each row names the remittance that it is from
        assert once.stdout == copied.stdout == twice.stdout
    assert len(once.stdout.splitlines()) == len(copied.stdout.splitlines()) == len(twice.stdout.splitlines())


@pytest.mark.parametrize("shown_as", ["table", "json", "csv"])
def test_warnings_are_counted_in_every_format(samples: list[Path], shown_as: str) -> None:
    content = samples[0].read_bytes()
    element = content.partition(b"BPR*I*")[2].partition(b"*")[0]
    told = explain("--format", shown_as, "-", given=content.replace(b"BPR*I*" + element, b"BPR*I*1.00", 1))

    assert "warning" in told.stderr.decode()
    assert "`reprieve validate` shows them" in told.stderr.decode()


def test_a_day_before_there_were_835s_is_a_slip_of_the_keyboard(samples: list[Path]) -> None:
    told = explain("--as-of", "0206-11-21", samples[0])

    assert told.returncode == 2
    assert b"before 1990" in told.stderr
    assert b"Traceback" not in told.stderr


@pytest.mark.parametrize("shown_as", ["table", "json", "csv"])
def test_no_file_of_the_corpus_brings_a_traceback(corpus: Path, shown_as: str) -> None:
    files = sorted(path for path in corpus.rglob("*") if path.is_file())
    told = explain("--format", shown_as, "--as-of", str(TODAY), *files)

    assert told.returncode == 2  # some are no 835s at all
    assert b"Traceback" not in told.stderr
    assert told.stdout


def test_a_reader_that_goes_away_is_no_error(samples: list[Path]) -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"for i in $(seq 400); do cat {samples[0]}; done | {REPRIEVE} explain --format csv - | head -n 1",
        ],
        capture_output=True,
        check=False,
    )

    assert done.stdout
    assert b"Traceback" not in done.stderr
