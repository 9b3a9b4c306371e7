"""One queue: what presses comes first, one's own before nobody's, and each case says why it stands there."""

from datetime import timedelta
from decimal import Decimal

from shared.clock import now
from shared.contracts.claim import Adjustment
from tests.tracker.site import page
from tests.tracker.support import clock, outcome


async def worklist(client, **query) -> dict:
    answer = await client.get("/v1/worklist", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def named(told: dict) -> list[str]:
    return [one["case"]["claim_number"] for one in told["data"]]


async def ids(site) -> dict[str, str]:
    return {one["claim_number"]: one["case_id"] for one in (await page(site["viewer"]))["data"]}


async def step(client, case_id: str, **body) -> dict:
    answer = await client.post(f"/v1/cases/{case_id}/steps", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["step"]


async def test_the_queue_is_in_the_documented_order_with_its_reasons(site, deny):
    for name, days, priority in (
        ("none", None, 99),
        ("soon", 0.5, 10),
        ("week-low", 6, 20),
        ("week-high", 5, 70),
        ("week-mine", 6.5, 1),
        ("month", 25, 50),
        ("theirs", 0.5, 90),
    ):
        ends = () if days is None else (clock(now() + timedelta(days=days)),)
        await deny(claim_number=name, clocks=ends, priority=priority, charge=1240)
    known = await ids(site)
    biller, supervisor = site["biller"], site["supervisor"]
    me = (await step(biller, known["week-mine"], kind="note", note="x"))["made_by"]
    other = (await step(supervisor, known["theirs"], kind="note", note="x"))["made_by"]
    await step(biller, known["week-mine"], kind="assign", assignee_id=me)
    await step(supervisor, known["theirs"], kind="assign", assignee_id=other)

    told = await worklist(biller)

    assert named(told) == ["soon", "week-mine", "week-high", "week-low", "month", "none"]
    assert [one["within"] for one in told["data"]] == ["a_day", *["a_week"] * 3, "a_month", "later"]
    first, mine, last = told["data"][0], told["data"][1], told["data"][-1]
    words = [one["words"] for one in first["reasons"]]
    assert words[1:] == ["nobody has it", "priority 10", "$1240.00 at stake"]
    assert words[0] in ("deadline today", "deadline tomorrow")
    assert mine["reasons"][1]["code"] == "yours"
    assert last["act_by"] is None
    assert named(await worklist(supervisor))[0] == "theirs"


async def test_a_follow_up_that_is_due_brings_a_case_forward(same_day, site, deny):
    await deny(claim_number="deadline", clocks=(clock(now() + timedelta(days=2)),), priority=90)
    await deny(claim_number="asked", clocks=(clock(now() + timedelta(days=60)),), priority=5)
    known = await ids(site)
    await step(
        site["biller"],
        known["asked"],
        kind="follow_up_scheduled",
        on=now().date().isoformat(),
    )

    told = await worklist(site["biller"])

    assert named(told) == ["asked", "deadline"]
    assert "follow-up today" in [one["words"] for one in told["data"][0]["reasons"]]


async def test_pages_of_the_queue_neither_repeat_nor_leave_out(site, deny):
    for number in range(11):
        ends = () if number % 4 == 0 else (clock(now() + timedelta(days=number * 3)),)
        await deny(claim_number=f"C{number}", clocks=ends, priority=number % 3)

    whole = named(await worklist(site["biller"]))
    pages, cursor = [], None
    while True:
        told = await worklist(site["biller"], limit=2, **({"cursor": cursor} if cursor else {}))
        pages += named(told)
        cursor = told["next_cursor"]
        if cursor is None:
            break

    assert (len(set(whole)), pages) == (11, whole)


async def test_what_has_ended_and_what_is_anothers_is_in_no_queue(site, deny):
    await deny(auth_related=False, category="not_authorization")
    await deny(is_test=True)

    assert (await worklist(site["biller"]))["data"] == []
    await deny()
    assert (await worklist(site["stranger"]))["data"] == []
    assert (await site["viewer"].get("/v1/worklist")).status_code == 403


async def test_what_was_paid_too_little_or_taken_back_waits_in_the_queue_until_somebody_closes_it(
    site, deny, record
):
    def later(denied, what, **given):
        same = {name: getattr(denied, name) for name in ("organization_id", "claim_key", "claim_number")}
        return outcome(what, **same, **given)

    reduced = (Adjustment(group="CO", reason="45", amount=Decimal(95)),)
    await record(later(await deny(claim_number="short"), "paid", paid=5, adjustments=reduced))
    await record(later(await deny(claim_number="back"), "reversed"))
    await record(later(await deny(claim_number="won"), "paid"))

    told = {one["case"]["claim_number"]: one for one in (await worklist(site["biller"]))["data"]}

    assert {name: one["case"]["state"] for name, one in told.items()} == {"short": "paid", "back": "reversed"}
    assert {name: one["reasons"][0]["code"] for name, one in told.items()} == {
        "short": "paid_too_little",
        "back": "taken_back",
    }
    assert {(one["within"], one["act_by"]) for one in told.values()} == {("later", None)}

    await step(site["biller"], told["short"]["case"]["case_id"], kind="close", reason="recovered")
    assert named(await worklist(site["biller"])) == ["back"]
