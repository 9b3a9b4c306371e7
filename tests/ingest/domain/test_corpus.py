"""Public files that nobody of this project wrote. Skipped where they are absent."""

import csv
import random

import pytest

from services.ingest.domain.events import claim_event
from services.ingest.domain.reread import reread_claim
from shared.contracts.base import encode
from tests.ingest.domain.files import context, reading

# Whoever counts CLP segments counts them in files that have no envelope too: those we refuse.
NO_ENVELOPE = "no ISA envelope"


@pytest.fixture(scope="module")
def manifest(corpus):
    with (corpus / "MANIFEST.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_file_is_read_to_its_last_byte_with_the_claims_that_it_has(corpus, manifest):
    for row in manifest:
        content = (corpus / row["file"]).read_bytes()
        read = reading(content)
        refused = "835" not in row["types"].split(",") or NO_ENVELOPE in row["notes"]

        assert read.closed.bytes_read == len(content), row["file"]
        assert (read.closed.refusal is not None) == refused, row["file"]
        if not refused:
            assert len(read.claims) + len(read.quarantined) == int(row["claims"]), row["file"]
            assert all(claim.loop.startswith(b"CLP") for claim in read.claims)


def test_files_that_the_manifest_calls_clean_have_no_errors(corpus, manifest):
    for row in manifest:
        if row["types"] == "835" and not row["notes"]:
            errors = [
                found.code
                for found in reading((corpus / row["file"]).read_bytes()).findings
                if found.severity == "error"
            ]
            assert errors == [], row["file"]


def test_any_chunking_of_any_file_gives_the_same_reading(corpus, manifest):
    chance = random.Random(835)  # noqa: S311
    for row in manifest:
        content = (corpus / row["file"]).read_bytes()
        size = chance.randrange(1, 400)
        blocks = [content[at : at + size] for at in range(0, len(content), size)]

        assert reading(*blocks) == reading(content), row["file"]


def test_every_claim_becomes_an_event_and_can_be_read_again(corpus, manifest):
    for row in manifest:
        content = (corpus / row["file"]).read_bytes()
        read = reading(content)
        owners = [
            h
            for h, one in zip(read.headers, read.sets, strict=True)
            for _ in range(one.claims_read - one.quarantined)
        ]
        for header, claim in zip(owners, read.claims, strict=True):
            if claim.kind != "predetermination":
                assert encode(claim_event(claim, header, context(), None))
            loop = content[claim.byte_offset : claim.byte_offset + claim.byte_length]
            again = reread_claim(
                header,
                loop,
                position=claim.position,
                ordinal=claim.ordinal,
                byte_offset=claim.byte_offset,
                segment_number=claim.segment_number,
                truncated=claim.truncated,
            )
            assert again == claim, row["file"]
