"""From a pushed file to its acknowledgment: once, durably, by the feed's preference, and behind walls."""

import asyncio
import json
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from services.ingest.acknowledgments.validators import ValidatorError, Validators
from services.ingest.store import acknowledgments as store
from services.ingest.workers.acknowledging import Acknowledging, acknowledge
from shared.clock import now
from shared.http.probes import Health
from tests.ingest.acknowledgments.answers import judge
from tests.ingest.acknowledgments.guide import faults, split
from tests.ingest.processes import serve, until
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import Site
from tests.ingest.test_drop_folder import Box
from tests.support.brokers import EmbeddedBroker
from tests.support.database import Database

SOUND = remittance(TestSet([denied("A1")]))
FAULTY = remittance(TestSet([denied("A1SECRET")])).replace(b"BPR*I*", b"BPR*Q*")
X12 = {"Accept": "application/edi-x12"}


class InThisProcess:
    """Stands for the pool where processes are not what is tested."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    async def inspect(self, blocks):
        if self.failures:
            raise self.failures.pop(0)
        return judge(b"".join(blocks()))

    async def close(self):
        pass


async def acknowledge_due(site: Site, validators=None) -> int:
    due = await store.due_acknowledgments(site.engine, limit=100)
    for submitter_id, receipt_id in due:
        await acknowledge(
            site.engine,
            site.vault,
            validators or InThisProcess(),
            submitter_id=submitter_id,
            receipt_id=receipt_id,
        )
    return len(due)


async def answer(site: Site, receipt: dict, who: str = "submitter", **headers: str):
    return await site.client.get(
        f"/v1/remittances/{receipt['receipt_id']}/acknowledgment", headers={**site.headers(who), **headers}
    )


async def test_a_file_is_acknowledged_once_it_was_read(site: Site):
    pushed = (await site.push(FAULTY)).json()
    assert (pushed["acknowledgment"], pushed["acknowledgment_cut_short"]) == ("due", None)
    assert await acknowledge_due(site) == 0  # denials come first
    waiting = await answer(site, pushed)
    assert (waiting.status_code, waiting.content) == (202, b"")
    assert int(waiting.headers["retry-after"]) > 0

    await site.read_due()
    assert await acknowledge_due(site) == 1
    assert await acknowledge_due(site) == 0
    made = await answer(site, pushed, **X12)

    assert made.status_code == 200
    assert made.headers["content-type"].startswith("application/edi-x12")
    assert list(faults(made.content)) == []
    receipt = (await site.get(f"/v1/remittances/{pushed['receipt_id']}")).json()
    assert receipt["acknowledgment"] == "made"


async def test_the_json_names_places_and_meanings_and_no_value(site: Site):
    receipt = await site.take_in(FAULTY)
    await acknowledge_due(site)
    told = (await answer(site, receipt)).json()

    (group,) = told["interchanges"][0]["groups"]
    (segment,) = group["sets"][0]["segments"]
    assert (group["code"], segment["segment_id"], segment["position"], segment["segment_number"]) == (
        "E",
        "BPR",
        2,
        4,
    )
    assert segment["elements"] == [
        {
            "position": 1,
            "component": None,
            "repetition": None,
            "reference": "305",
            "trigger": None,
            "code": "7",
            "meaning": "The code is not one of those allowed.",
        }
    ]
    assert (told["sets"], told["sets_checked"], told["cut_short"]) == (1, 1, None)
    assert [(one["kind"], one["code"], one["acknowledges"]) for one in told["files"]] == [
        ("999", "E", "000000001")
    ]
    assert not any(value in json.dumps(told) for value in ("DOE", "JANE", "MEMBER123", "A1SECRET"))


async def test_a_file_that_is_no_835_is_acknowledged_too(site: Site):
    receipt = await site.take_in(SOUND.replace(b"GS*HP", b"GS*HC").replace(b"ST*835", b"ST*837"))
    await acknowledge_due(site)

    assert receipt["status"] == "refused"
    assert (await answer(site, receipt)).json()["interchanges"][0]["groups"][0]["code"] == "R"


async def test_bytes_without_an_envelope_have_nothing_to_be_acknowledged(site: Site):
    receipt = await site.take_in(b"no X12 at all")
    await acknowledge_due(site)

    assert (await answer(site, receipt, **X12)).status_code == 204
    assert (await answer(site, receipt)).json()["files"] == []


async def test_another_submitters_acknowledgment_does_not_exist(site: Site):
    receipt = await site.take_in(FAULTY)
    await acknowledge_due(site)

    assert (await answer(site, receipt, who="other")).status_code == 404
    assert (await answer(site, receipt, who="admin")).status_code == 403
    for other in (UUID(int=1), UUID(receipt["receipt_id"])):
        assert await store.acknowledgments_of(site.engine, submitter_id=UUID(int=2), receipt_id=other) == []


async def test_control_numbers_rise_and_are_never_used_twice_even_when_many_are_made_at_once(site: Site):
    for number in range(12):
        await site.push(remittance(TestSet([denied(f"A{number}")]), control=number + 1))
    await site.push(SOUND.replace(b"*0*P*", b"*1*P*"), who="other")
    await site.read_due()
    due = await store.due_acknowledgments(site.engine, limit=100)
    await asyncio.gather(
        *(
            acknowledge(site.engine, site.vault, InThisProcess(), submitter_id=s, receipt_id=r)
            for s, r in due * 2  # twice: a second worker changes nothing
        )
    )
    numbers = [
        row.control_number
        for row in await site.rows("select control_number from ingest.acknowledgment_files")
    ]

    assert sorted(numbers) == list(range(1, 13))
    for row in await site.rows("select content, control_number from ingest.acknowledgment_files"):
        assert int(split(row.content)[0][13]) == row.control_number


async def test_preferences_rule_what_is_sent_unasked(site: Site):
    await site.take_in(SOUND)
    await site.take_in(FAULTY)
    await acknowledge_due(site)
    asked = {"submitter_id": site.submitter_id, "feed": "main"}
    await prefer(site, "all")
    assert [one.code for one in await store.undelivered(site.engine, **asked)] == ["A", "E"]
    await prefer(site, "none")
    assert await store.undelivered(site.engine, **asked) == []
    await prefer(site, "negative")
    (negative,) = await store.undelivered(site.engine, **asked)
    assert (negative.code, negative.name) == ("E", f"{negative.receipt_id}.001.999")

    done = {"submitter_id": site.submitter_id, "receipt_id": negative.receipt_id, "ordinals": [1]}
    await store.mark_delivered(site.engine, **done, delivered_at=now())
    assert await store.undelivered(site.engine, **asked) == []
    (kept,) = await store.acknowledgments_of(
        site.engine, submitter_id=site.submitter_id, receipt_id=negative.receipt_id
    )
    assert kept.delivered_at is not None


async def test_a_feed_that_wants_none_costs_nothing_and_says_so(site: Site):
    await prefer(site, "none")
    pushed = (await site.push(FAULTY)).json()
    assert pushed["acknowledgment"] == "declined"
    assert (await answer(site, pushed)).status_code == 404  # at once, not when it would have been made
    receipt = await site.take_in(FAULTY)
    await acknowledge_due(site, InThisProcess(AssertionError("not looked at")))

    told = await answer(site, receipt)
    assert (told.status_code, told.json()["type"]) == (404, "urn:reprieve:problem:not-found")
    assert (await site.get(f"/v1/remittances/{receipt['receipt_id']}")).json()["acknowledgment"] == "declined"


@pytest.mark.parametrize(
    ("accept", "status", "media_type"),
    [
        ("application/edi-x12;q=0.9, */*;q=0.1", 200, "application/edi-x12"),
        ("Application/JSON", 200, "application/json"),
        ("text/html, application/*", 200, "application/json"),
        ("*/*", 200, "application/json"),
        ("application/pdf", 406, "application/problem+json"),
        ("text/plain, text/*", 406, "application/problem+json"),
    ],
)
async def test_an_answer_is_of_a_kind_that_was_asked_for_or_none(
    site: Site, accept: str, status: int, media_type: str
):
    receipt = await site.take_in(FAULTY)
    await acknowledge_due(site)

    told = await answer(site, receipt, Accept=accept)

    assert (told.status_code, told.headers["content-type"]) == (status, media_type)
    if status == 406:
        assert "application/edi-x12" in told.json()["remedy"]


async def test_a_failure_is_tried_again_and_then_given_up_visibly(site: Site):
    receipt = await site.take_in(FAULTY)
    failing = InThisProcess(*(ValidatorError("no process can") for _ in range(5)))
    for _ in range(5):
        await site.rows(
            "update ingest.receipts set acknowledgment_due_at = now() - interval '1 second' returning 1"
        )
        assert await acknowledge_due(site, failing) == 1

    assert await acknowledge_due(site) == 0
    assert (await answer(site, receipt)).status_code == 409
    assert (await site.get(f"/v1/remittances/{receipt['receipt_id']}")).json()["acknowledgment"] == "failed"


async def test_a_worker_that_dies_at_its_work_leaves_it_due(site: Site):
    receipt = await site.take_in(FAULTY)
    ids = {"submitter_id": site.submitter_id, "receipt_id": UUID(receipt["receipt_id"])}
    assert await store.begin(site.engine, **ids) is not None  # and nothing more: the process was killed

    assert await acknowledge_due(site) == 1
    assert (await answer(site, receipt)).status_code == 200


async def test_a_receipt_says_when_conformance_was_cut_short(site: Site):
    receipt = await site.take_in(FAULTY)
    ids = {"submitter_id": site.submitter_id, "receipt_id": UUID(receipt["receipt_id"])}
    due = await store.begin(site.engine, **ids)
    await store.make(site.engine, due, judge(FAULTY, conformance_bytes=100), made_at=now())

    told = (await site.get(f"/v1/remittances/{receipt['receipt_id']}")).json()
    assert (told["acknowledgment"], told["acknowledgment_cut_short"]) == ("made", "size")


async def test_the_loop_acknowledges_with_real_processes_until_it_is_stopped(
    site: Site, capsys: pytest.CaptureFixture[str]
):
    receipts = [await site.take_in(one) for one in (SOUND, FAULTY)]
    stop, validators = asyncio.Event(), Validators()
    loop = asyncio.create_task(Acknowledging(site.engine, site.vault, validators, Health()).run(stop))
    try:
        async with asyncio.timeout(90):
            for one in receipts:
                while (await answer(site, one)).status_code == 202:
                    await asyncio.sleep(0.05)
    finally:
        stop.set()
        await loop

    assert [(await answer(site, one)).status_code for one in receipts] == [200, 200]
    assert validators._idle == []
    assert "file_acknowledged" in (said := "".join(capsys.readouterr()))
    assert not any(value in said for value in ("DOE", "JANE", "MEMBER123", "A1SECRET"))


async def prefer(site: Site, preference: str) -> None:
    await site.rows("update ingest.feeds set acknowledgment = :preference returning 1", preference=preference)


async def test_a_drop_folder_has_in_acks_what_its_feed_wants(site: Site, tmp_path: Path):
    box = Box(site, tmp_path)
    await prefer(site, "all")
    receipts = [await site.take_in(one) for one in (SOUND, FAULTY)]
    await acknowledge_due(site)
    await box.look(2)
    laid = {path.name: path.read_bytes() for path in (box.path / "acks").iterdir()}

    assert laid == {
        f"{one['receipt_id']}.001.999": (await answer(site, one, **X12)).content for one in receipts
    }
    for path in (box.path / "acks").iterdir():
        path.unlink()  # as its reader does
    await box.look()
    assert list((box.path / "acks").iterdir()) == []


async def test_a_worker_that_is_killed_again_and_again_acknowledges_each_file_once(
    site: Site, database: Database, tmp_path: Path
):
    """The folder of raw files is the site's, so that the worker opens what was pushed here."""
    contents = [remittance(TestSet([denied(f"K{n}")]), control=n + 1) for n in range(5)]
    pushed = [(await site.push(content)).json()["receipt_id"] for content in contents]
    await prefer(site, "all")

    async def made() -> int:
        return len(await site.rows("select 1 from ingest.acknowledgments"))

    broker = EmbeddedBroker()
    await broker.start()
    try:
        for goal in (1, 2, len(pushed)):
            with serve("ingest-worker", database=database, broker=broker, folder=tmp_path) as worker:
                await worker.ready()
                await until(partial(_at_least, made, goal))
                worker.kill()
    finally:
        await broker.kill()
    log = "".join(path.read_text() for path in tmp_path.glob("ingest-worker-*.log"))

    files = await site.rows("select receipt_id, ordinal, control_number from ingest.acknowledgment_files")
    assert sorted(str(one.receipt_id) for one in files) == sorted(pushed)
    assert sorted(one.control_number for one in files) == [1, 2, 3, 4, 5]
    assert "file_acknowledged" in log
    assert not any(value in log for value in ("DOE", "JANE", "MEMBER123"))


async def _at_least(made, goal: int) -> bool:
    return await made() >= goal
