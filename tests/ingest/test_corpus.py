"""Files of other projects, valid and broken, through the door, the reader and the reconciliation."""

from pathlib import Path

from services.ingest.store import receipts
from tests.ingest.site import Site


async def test_every_public_sample_is_processed_or_refused_and_a_second_push_changes_nothing(
    site: Site, corpus: Path
):
    files = sorted(path for path in corpus.rglob("*") if path.is_file() and path.suffix != ".tsv")
    await site.register("*")
    answers = [await site.push(path.read_bytes()) for path in files if path.stat().st_size]
    await site.read_due()

    seen = {}
    for answer in answers:
        receipt = (await site.get(f"/v1/remittances/{answer.json()['receipt_id']}")).json()
        seen[receipt["receipt_id"]] = receipt
        assert receipt["status"] in ("processed", "refused")
        assert receipt["refused_reason"] != receipts.DEFECT
        assert receipt["bytes_read"] == receipt["size_bytes"]
        assert all(finding["message"] and finding["remedy"] for finding in receipt["findings"])
        if receipt["status"] == "refused":
            assert receipt["findings"]
    before = await site.reconciled(), await site.claims(), len(await site.events())
    assert before[2] > 0
    assert sum(line["claims_read"] for line in before[0]) == sum(one["claims_read"] for one in seen.values())

    again = [await site.push(path.read_bytes()) for path in files if path.stat().st_size]
    await site.read_due()
    assert {answer.status_code for answer in again} == {200}
    assert (await site.reconciled(), await site.claims(), len(await site.events())) == before
