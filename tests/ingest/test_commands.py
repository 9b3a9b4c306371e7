"""`reprieve validate` and `reprieve simulate`, called as a person calls them."""

import json
import subprocess
import sys

from tests.ingest.domain.files import SAMPLES, reading


def reprieve(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *map(str, words)], capture_output=True, check=False, **more
    )


def test_a_clean_file_passes():
    told = reprieve("validate", SAMPLES / "professional.835")

    assert told.returncode == 0
    assert b"accepted: 1 remittance, 3 claims, no findings." in b" ".join(told.stdout.split())


def test_findings_say_where_and_what_to_do_and_exit_1():
    told = reprieve("validate", "--format", "json", SAMPLES / "issues" / "amount-with-currency.835")
    found = {one["code"]: one for one in map(json.loads, told.stdout.splitlines())}
    first = found["amount_unreadable"]

    assert told.returncode == 1
    assert (first["segment_id"], first["element"]) == ("CAS", 3)
    assert first["byte_offset"] > 0
    assert first["remedy"]
    assert b"480USD" not in told.stdout


def test_what_cannot_be_read_exits_2_without_a_traceback(tmp_path):
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 40)
    for path in (tmp_path / "noise", tmp_path / "missing", SAMPLES / "issues" / "no-envelope.835", tmp_path):
        told = reprieve("validate", path)
        assert told.returncode == 2
        assert b"Traceback" not in told.stderr + told.stdout


def test_a_folder_stands_for_its_files(tmp_path):
    for name in ("professional.835", "reversal.835"):
        (tmp_path / name).write_bytes((SAMPLES / name).read_bytes())

    told = reprieve("validate", tmp_path)

    assert told.returncode == 0
    assert told.stdout.count(b"accepted: ") == 2


def test_standard_input_is_read():
    told = reprieve("validate", "-", input=(SAMPLES / "reversal.835").read_bytes())

    assert told.returncode == 0


def test_simulate_writes_what_is_asked_for():
    told = reprieve("simulate", "--seed", 1, "--claims", 200, "--denied", 0.15, "--claims-per-set", 50)
    again = reprieve("simulate", "--seed", 1, "--claims", 200, "--denied", 0.15, "--claims-per-set", 50)
    read = reading(told.stdout)

    assert told.stdout == again.stdout
    assert (len(read.claims), len(read.sets), read.codes) == (200, 4, [])


def test_a_payer_name_that_breaks_the_file_is_refused():
    told = reprieve("simulate", "--payer", "A*B")

    assert told.returncode == 2
    assert b"ASCII" in told.stderr
    assert not told.stdout


def test_validate_ack_adds_conformance_and_writes_what_the_service_would(tmp_path):
    bad = (
        (SAMPLES / "professional.835").read_bytes().replace(b"BPR*I*", b"BPR*Q*").replace(b"*0*P*", b"*1*P*")
    )
    (tmp_path / "bad.835").write_bytes(bad)
    told = reprieve("validate", "--format", "json", "--ack", tmp_path / "acks", tmp_path / "bad.835")
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    again = reprieve("validate", "--ack", tmp_path / "acks", tmp_path / "bad.835")

    assert told.returncode == 1
    assert [
        (one["code"], one["segment_id"], one["element"])
        for one in lines
        if "code" in one and "element" in one
    ] == [("IK4-7", "BPR", 1)]
    assert [(one["kind"], one["code"]) for one in lines if "acknowledgment" in one] == [
        ("TA1", "A"),
        ("999", "E"),
    ]
    assert sorted(path.name for path in (tmp_path / "acks").iterdir()) == [
        "bad.835.001.ta1",
        "bad.835.002.999",
    ]
    assert (again.returncode, b"there already" in again.stderr) == (2, True)


def test_validate_ack_says_where_it_cannot_write(tmp_path):
    sample = SAMPLES / "professional.835"
    (tmp_path / "file").touch()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / sample.name).write_bytes(sample.read_bytes())
    no_folder = reprieve("validate", "--ack", tmp_path / "file", sample)
    one_name = reprieve("validate", "--ack", tmp_path / "acks", sample, tmp_path / "two" / sample.name)

    assert (no_folder.returncode, b"cannot be written" in no_folder.stderr) == (2, True)
    assert (one_name.returncode, b"Several files have the name" in one_name.stderr) == (2, True)
    assert b"Traceback" not in no_folder.stderr + one_name.stderr
    assert not (tmp_path / "acks").exists()


def test_validate_ack_of_a_clean_file_from_standard_input(tmp_path):
    told = reprieve("validate", "--ack", tmp_path, "-", input=reprieve("simulate", "--claims", 30).stdout)

    assert (told.returncode, told.stderr) == (0, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["stdin.001.999"]
    assert b"*AK9*A*" in (tmp_path / "stdin.001.999").read_bytes().replace(b"~", b"*")
