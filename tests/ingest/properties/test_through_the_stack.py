"""One remittance in many disguises, through the door, the reader and the real database: one set of events."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from services.ingest.domain.identity import event_id
from services.ingest.store import receipts
from services.ingest.workers.reading import process
from tests.ingest.domain.files import reading
from tests.ingest.properties.test_same_remittance import enveloped
from tests.ingest.remittances import TestSet, denied, paid, remittance, reversed_
from tests.ingest.site import Site
from tests.support.x12_writing import Style, joined, recounted, segments, styled, with_amounts

SETS = (
    TestSet([denied("A1", charge=700), paid("A2"), denied("A3", paid=100)]),
    TestSet([denied("B1"), reversed_("B2"), denied("B3", reason="29")], trace="TRACE2"),
)
CONTROLS = Style(b"\x1d", b"\x1f", b"\x1e", b"\x1c", between=[b"\r\n", b"", b"\n"], behind=b"\x1a")
ORIGINAL = remittance(*SETS)

Delivery = tuple[bytes, str, str]
"""A file, the feed, and whose key."""


def _as_sent(*contents: bytes, feed: str = "main", who: str = "submitter") -> list[Delivery]:
    return [(content, feed, who) for content in contents]


def _halves(first: int) -> list[bytes]:
    """Each set's claims in two files, under the same trace and header."""
    return [
        remittance(*(TestSet(one.claims[a:b], trace=one.trace) for one in SETS), control=control)
        for control, (a, b) in enumerate(((0, first), (first, 3)), 11)
    ]


def _two_files() -> list[bytes]:
    """Each set in a file of its own."""
    return [remittance(one, control=control) for control, one in enumerate(SETS, 21)]


DISGUISES: dict[str, list[Delivery]] = {
    "re-sent": _as_sent(ORIGINAL),
    "re-enveloped": _as_sent(enveloped(ORIGINAL, b"000000777", b"778", b"9", b"20260415")),
    "other delimiters and line breaks": _as_sent(styled(ORIGINAL, CONTROLS)),
    "line breaks taken out, a byte order mark put in": _as_sent(
        b"\xef\xbb\xbf" + ORIGINAL.replace(b"\n", b"")
    ),
    "amounts written otherwise": _as_sent(with_amounts(ORIGINAL, lambda amount: amount + b".00")),
    "split over two files": _as_sent(*_halves(1)),
    "split elsewhere": _as_sent(*reversed(_halves(2))),
    "a file for each set": _as_sent(*_two_files()),
    "twice in one file": _as_sent(ORIGINAL + ORIGINAL),
    "after another remittance in one file": _as_sent(
        ORIGINAL + enveloped(ORIGINAL, b"000000002", b"2", b"3", b"20260302")
    ),
    "through a second feed": _as_sent(ORIGINAL, feed="second"),
    "through a second clearinghouse": _as_sent(ORIGINAL, who="other"),
    "re-enveloped by a second clearinghouse": _as_sent(
        enveloped(ORIGINAL, b"000000777", b"778", b"9", b"20260415"), who="other"
    ),
}


def expected(site: Site, content: bytes) -> Counter[UUID]:
    """The ids of the denials of a file, from the file alone."""
    read = reading(content)
    owners = [
        header for header, one in zip(read.headers, read.sets, strict=True) for _ in range(one.claims_read)
    ]
    return Counter(
        {
            event_id(site.organization_id, header, claim)
            for header, claim in zip(owners, read.claims, strict=True)
            if claim.kind == "denied"
        }
    )


async def released(site: Site) -> Counter[UUID]:
    return Counter(event.event_id for event in await site.events())


async def open_second_feed(site: Site) -> None:
    made = await site.client.post("/v1/feeds", json={"name": "second"}, headers=site.headers())
    assert made.is_success, made.text


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("order", ["original first", "disguise first"])
async def test_the_same_remittance_gives_one_set_of_events(site: Site, disguise: str, order: str):
    await open_second_feed(site)
    deliveries = [*_as_sent(ORIGINAL), *DISGUISES[disguise]]
    if order == "disguise first":
        deliveries = [*deliveries[1:], deliveries[0]]
    for content, feed, who in deliveries:
        receipt = await site.take_in(content, feed=feed, who=who)
        assert receipt["status"] == "processed"

    wanted = expected(site, ORIGINAL)
    assert len(wanted) == 4
    assert await released(site) == wanted
    assert len(await site.claims()) == 6
    sums = await site.reconciled()
    kept = sum(line["evented"] + line["no_event"] for line in sums)
    assert kept == 6
    assert sum(line["duplicates"] for line in sums) == sum(line["claims_read"] for line in sums) - 6


async def test_two_feeds_at_the_same_moment_give_one_set_of_events(site: Site):
    await open_second_feed(site)
    disguises = [
        delivery
        for name in (
            "through a second feed",
            "re-enveloped by a second clearinghouse",
            "split over two files",
        )
        for delivery in DISGUISES[name]
    ]
    answers = [await site.push(content, feed=feed, who=who) for content, feed, who in disguises]
    assert {answer.status_code for answer in answers} == {202}
    due = await receipts.due_receipts(site.engine, limit=100)
    assert len(due) == len(disguises)
    await asyncio.gather(
        *(
            process(site.workshop, submitter_id=who, receipt_id=which, stop=asyncio.Event())
            for who, which in due
        )
    )
    await site.read_due()

    assert await released(site) == expected(site, ORIGINAL)
    assert len(await site.claims()) == 6
    await site.reconciled()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a cent", lambda content: content.replace(b"CAS*CO*197*700", b"CAS*CO*197*700.01")),
        ("another trace", lambda content: content.replace(b"TRN*1*TRACE1*", b"TRN*1*TRACE9*")),
        ("a test", lambda content: content.replace(b"*0*P*:", b"*0*T*:")),
    ],
)
async def test_what_is_not_the_same_is_not_taken_for_it(
    site: Site, name: str, change: Callable[[bytes], bytes]
):
    other = change(ORIGINAL)
    assert other != ORIGINAL
    await site.take_in(ORIGINAL)
    await site.take_in(other)

    assert await released(site) == expected(site, ORIGINAL) | expected(site, other)
    assert (
        len(expected(site, other) - expected(site, ORIGINAL))
        == {"a cent": 1, "another trace": 2, "a test": 4}[name]
    )


async def test_no_public_remittance_in_another_dress_is_a_new_one(site: Site, corpus: Path):
    """Other envelope, delimiters and line breaks: whatever is wrong with the file stays wrong, and known."""
    plain = [
        content
        for path in sorted(corpus.glob("*/*"))
        if path.is_file() and len(content := path.read_bytes()) < 5_000 and is_plain(content)
    ]
    assert len(plain) > 40
    await site.register("*")
    for content in plain:
        await site.push(content)
    await site.read_due()
    before = await released(site), len(await site.claims())
    assert len(before[0]) > 10
    for content in plain:
        again = await site.push(styled(joined(recounted(segments(content))), CONTROLS))
        assert again.is_success  # two files may differ in their line breaks only
    await site.read_due()

    assert (await released(site), len(await site.claims())) == before
    await site.reconciled()


def is_plain(content: bytes) -> bool:
    """Tell whether the file is one interchange with the usual delimiters, whose every set ends."""
    read = reading(content)
    usual = content[:4] == b"ISA*" and content[104:106] == b":~" and content.count(b"ISA*") == 1
    return usual and bool(read.claims) and not any(one.truncated for one in read.sets)
