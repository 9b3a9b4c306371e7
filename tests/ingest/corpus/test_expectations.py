"""
What every public file holds, written from the file and the standard before the program was asked.

expectations.tsv is keyed by the file's place in the corpus; it holds counts and amounts, nothing else of the
file. `seen`: somebody read the whole file. `findings` are all that must be there (kind=how often): what is not
named must not be. Whatever tests/support/x12_plain.py may judge, it must judge as the table does.
"""

import csv
import re
import subprocess
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from services import explain
from services.ingest.validation import check
from services.ingest.x12.tokenizer import Batch, Interchange, tokenize
from tests.ingest.domain.files import Reading, reading
from tests.support import x12_plain
from tests.support.stack import REPRIEVE

TABLE = Path(__file__).with_name("expectations.tsv")
ROWS = list(csv.DictReader(TABLE.read_text().splitlines(), delimiter="\t"))
COUNTS = ("interchanges", "groups", "sets", "claims", "quarantined", "reversals", "denied")
AMOUNTS = ("denied_amount", "charge", "paid")
NOTES = {
    code
    for code, severity in re.findall(r"^\| `(\w+)` \| (\w+) \|", x12_plain.RULES.read_text(), re.MULTILINE)
    if severity == "note"
}

each_file = pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])


def expected_findings(row) -> Counter[str]:
    pairs = (one.partition("=") for one in row["findings"].split())
    return Counter({code: int(count or 1) for code, _, count in pairs})


def envelopes(content: bytes) -> tuple[int, int]:
    """Count interchanges and groups as the tokenizer finds them."""
    tokens = list(tokenize([content]))
    groups = sum(
        segment.startswith(b"GS" + batch.delimiters.element)
        for batch in tokens
        if isinstance(batch, Batch)
        for segment in batch.segments
    )
    return sum(isinstance(token, Interchange) for token in tokens), groups


def summary(content: bytes, read: Reading) -> dict[str, str]:
    """The program's answer in the table's words."""
    closed = read.closed
    interchanges, groups = envelopes(content)
    numbers = {
        "interchanges": interchanges,
        "groups": groups,
        "sets": closed.transaction_sets,
        "claims": sum(one.claims_read for one in read.sets),
        "quarantined": len(read.quarantined),
        "reversals": sum(claim.kind == "reversed" for claim in read.claims),
        "denied": sum(claim.kind == "denied" for claim in read.claims),
    }
    amounts = {
        "denied_amount": sum(claim.denied_amount for claim in read.claims),
        "charge": sum(one.charge_amount for one in read.sets),
        "paid": sum(one.paid_amount for one in read.sets),
    }
    return {
        "refusal": closed.refusal.code if closed.refusal else "",
        "complete": "" if closed.refusal else "yes" if closed.complete else "no",
        **{name: str(count) for name, count in numbers.items()},
        **{name: plain(amount) for name, amount in amounts.items()},
    }


def plain(amount: object) -> str:
    return format(Decimal(str(amount)).quantize(Decimal("0.01")), "f")


def expected(row) -> dict[str, str]:
    kept = {name: row[name] for name in ("refusal", "complete", *COUNTS)}
    return kept | {name: plain(row[name]) for name in AMOUNTS}


def test_every_file_of_the_corpus_has_an_expectation(corpus):
    files = {str(path.relative_to(corpus)) for path in corpus.glob("*/*") if path.is_file()}

    assert {row["file"] for row in ROWS} == files


@each_file
def test_the_reader_reads_what_is_there(corpus, row):
    content = (corpus / row["file"]).read_bytes()
    read = reading(content)

    assert read.closed.bytes_read == len(content)
    assert summary(content, read) == expected(row)
    assert Counter(found.code for found in read.findings) == expected_findings(row)
    if read.headers:
        assert {header.is_test for header in read.headers} == {row["usage"] == "T"}


@each_file
def test_a_second_reader_that_shares_no_code_expects_the_same(corpus, row):
    try:
        facts = x12_plain.facts((corpus / row["file"]).read_bytes())
    except x12_plain.Odd:
        assert row["seen"] == "yes", "what is not plain needs eyes"
        return
    for name in COUNTS:
        assert getattr(facts, name) == int(row[name]), name
    for name in AMOUNTS:
        assert plain(getattr(facts, name)) == plain(row[name]), name
    assert +facts.findings == expected_findings(row)
    assert "".join(sorted(facts.usage)) == row["usage"]
    assert (facts.sets == 0) == bool(row["refusal"])
    assert row["refusal"] or facts.complete == (row["complete"] == "yes")


@each_file
def test_validate_and_the_second_reader_agree_in_their_sums(corpus, row):
    report = check(row["file"], [(corpus / row["file"]).read_bytes()])
    findings = expected_findings(row)
    faults = sum(count for code, count in findings.items() if code not in NOTES)

    assert report.refused == bool(row["refusal"])
    assert report.status == (2 if row["refusal"] else 1 if faults else 0)
    assert report.worse_than_notes == faults + bool(row["refusal"])
    assert (report.transaction_sets, report.claims) == (int(row["sets"]), int(row["claims"]))
    assert report.quarantined == int(row["quarantined"])
    if not row["refusal"]:
        assert f" {int(row['claims']):,} claim" in report.verdict
        assert report.verdict.startswith("accepted: ")


@each_file
def test_every_denied_claim_is_handed_to_explain_with_its_amount(corpus, row):
    read = explain.FileReading(row["file"])
    events = list(explain._denials(explain._again(corpus / row["file"]), read, date(2026, 11, 21)))

    assert len(events) == int(row["denied"])
    assert plain(sum(item.amount for event in events for item in event.denied)) == plain(row["denied_amount"])
    assert (read.claims, read.quarantined) == (int(row["claims"]), int(row["quarantined"]))
    assert (read.refusal.code if read.refusal else "") == row["refusal"]
    assert {event.is_test for event in events} <= {row["usage"] == "T"}


def test_explain_sums_up_what_all_files_hold(corpus):
    command = [REPRIEVE, "explain", "--as-of", "2026-11-21", *(str(corpus / row["file"]) for row in ROWS)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    files, claims, denied = (
        int(number.replace(",", ""))
        for number in re.search(
            r"([\d,]+) files: ([\d,]+) claims read, ([\d,]+) denied", told.stderr
        ).groups()
    )
    repeated = int(re.search(r"(\d[\d,]*) repeated", told.stderr)[1].replace(",", ""))

    assert told.returncode == 2  # some are refused
    assert files == len(ROWS)
    assert claims == sum(int(row["claims"]) for row in ROWS)
    assert denied + repeated == sum(int(row["denied"]) for row in ROWS)
