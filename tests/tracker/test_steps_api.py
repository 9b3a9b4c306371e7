"""The door for steps: roles, versions, repeated requests, what is kept, told and audited."""

import asyncio
from datetime import UTC, date, datetime
from uuid import uuid4

import msgspec
import pytest

from services.tracker.api import cases
from shared.contracts.claim import Adjustment
from shared.kafka.parcels import payloads_of
from shared.security.administration import create_principal_with_key
from tests.tracker.site import only
from tests.tracker.support import clock, outcome

JAN, FEB = date(2026, 1, 10), date(2026, 2, 10)
SUBMIT = {
    "kind": "submit",
    "request": "retro_authorization",
    "on": "2026-01-12",
    "channel": "portal",
    "reference": "REF-1",
}
NOTE = {"kind": "note", "note": "called the payer"}


@pytest.fixture
async def case(site, deny):
    """The path of a case's steps."""
    await deny(documents=("From the remittance: all", "Missing: notes"))
    return f"/v1/cases/{(await only(site))['case_id']}"


async def made(client, case, step, *, status=201, **headers):
    answer = await client.post(f"{case}/steps", json=step, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


async def told(select, organization) -> list[dict]:
    return [
        msgspec.json.decode(payload)
        for parcel in await select("select * from tracker.outbox_parcels order by parcel_id", organization)
        for sent_type, payload in zip(parcel.types, payloads_of(parcel), strict=True)
        if sent_type != "EventsReceipted"
    ]


async def test_a_step_of_a_day_that_has_not_come_leaves_the_case_and_its_clock_alone(site, case):
    refused = await made(site["biller"], case, {**SUBMIT, "on": "2099-01-12"}, status=422)
    after = (await site["viewer"].get(case)).json()

    assert refused.json()["errors"] == [{"field": "body.on", "problem": "in the future"}]
    assert (after["state"], after["version"]) == ("open", 1)


async def test_nothing_is_planned_for_a_year_that_was_mistyped(site, case):
    for step in (
        {"kind": "follow_up_scheduled", "on": "2099-01-20"},
        {"kind": "peer_to_peer", "on": "2099-01-20", "outcome": "scheduled"},
        {**SUBMIT, "follow_up_on": "2099-01-20"},
    ):
        refused = await made(site["biller"], case, step, status=422)
        assert refused.json()["errors"][0]["problem"] == "more than a year ahead"

    assert (await site["viewer"].get(case)).json()["follow_up_on"] is None


async def test_a_step_moves_the_case_and_is_kept_told_and_audited(site, case, select):
    answer = (await made(site["biller"], case, SUBMIT)).json()
    detail = (await site["viewer"].get(case)).json()
    rows = await select("select * from tracker.steps", site.organization)
    audited = await select("select * from tracker.audit_log", site.organization)

    assert (answer["case"]["state"], answer["case"]["version"]) == ("submitted", 2)
    assert answer["step"]["told"]["reference"] == "REF-1"
    assert answer["case"]["follow_up_on"] == answer["step"]["told"]["follow_up_on"] == "2026-01-26"
    assert "determine" in answer["allowed_steps"]
    assert [(one["kind"], one["state"]) for one in detail["requests"]] == [
        ("retro_authorization", "submitted")
    ]
    assert [(row.kind, row.number, row.made_role) for row in rows] == [("submit", 1, "biller")]
    assert [(row.action, row.detail["kind"]) for row in audited] == [("step_made", "submit")]
    events = await told(select, site.organization)
    assert [(one["version"], one["state"], one.get("step")) for one in events] == [
        (1, "open", None),
        (2, "submitted", "submit"),
    ]
    assert "REF-1" not in str(events)


async def test_an_illegal_step_is_refused_with_what_is_allowed_and_changes_nothing(site, case, select):
    answer = await made(site["biller"], case, {"kind": "reopen", "note": "x"}, status=409)

    assert "A case that is open does not allow the step reopen" in answer.json()["detail"]
    assert "prepare" in answer.json()["remedy"]
    assert await select("select 1 from tracker.steps", site.organization) == []


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator"])
async def test_who_only_reads_makes_no_step(site, case, role):
    await made(site[role], case, NOTE, status=403)


async def test_a_stranger_learns_nothing_about_the_case(site, case):
    theirs = await made(site["stranger"], case, NOTE, status=404)
    nobodys = await made(site["stranger"], f"/v1/cases/{uuid4()}", NOTE, status=404)

    assert theirs.json()["detail"] == nobodys.json()["detail"]


async def test_only_supervisors_and_admins_write_off(site, case):
    closing = {"kind": "close", "reason": "written_off", "note": "the contract says so"}

    await made(site["biller"], case, closing, status=403)
    answer = (await made(site["supervisor"], case, closing)).json()

    assert (answer["case"]["state"], answer["case"]["closed_reason"]) == ("closed", "written_off")


async def test_a_repeated_key_gives_the_kept_answer_and_one_effect(site, case, select):
    key = {"Idempotency-Key": "k-1"}
    first = await made(site["biller"], case, NOTE, **key)
    again = await made(site["biller"], case, NOTE, **key)
    other = await made(site["biller"], case, {**NOTE, "note": "other"}, status=422, **key)
    of_another = await made(site["admin"], case, NOTE, **key)

    assert first.json() == again.json() != of_another.json()
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (
        None,
        "true",
    )
    assert first.headers["ETag"] == again.headers["ETag"] != of_another.headers["ETag"]
    assert "used for another request" in other.json()["detail"]
    [row] = await select("select count(*) as steps from tracker.steps", site.organization)
    assert row.steps == 2


async def test_a_refusal_is_not_kept_under_its_key(site, case):
    key = {"Idempotency-Key": "k-1"}
    await made(site["biller"], case, {"kind": "reopen", "note": "x"}, status=409, **key)

    await made(site["biller"], case, NOTE, **key)


async def test_a_key_is_forgotten_after_a_week(site, case, select):
    key = {"Idempotency-Key": "k-1"}
    first = await made(site["biller"], case, NOTE, **key)
    await select(
        "update tracker.idempotency set kept_at = now() - interval '8 days' returning 1", site.organization
    )

    assert (await made(site["biller"], case, NOTE, **key)).json() != first.json()


async def test_the_same_request_twice_at_once_has_one_effect(site, case, select):
    key = {"Idempotency-Key": "k-1"}

    answers = await asyncio.gather(*(made(site["biller"], case, NOTE, **key) for _ in range(4)))

    assert len({answer.text for answer in answers}) == 1
    [row] = await select("select count(*) as steps from tracker.steps", site.organization)
    assert row.steps == 1


async def test_who_looked_at_an_old_version_is_told_so(site, case):
    seen = (await site["biller"].get(case)).headers["ETag"]
    after = await made(site["biller"], case, NOTE, **{"If-Match": seen})
    stale = await made(site["biller"], case, NOTE, status=412, **{"If-Match": seen})

    assert (seen, after.headers["ETag"]) == ('"1"', '"2"')
    assert "version 2 now, not 1" in stale.json()["detail"]
    await made(site["biller"], case, NOTE, status=422, **{"If-Match": "yesterday"})


async def test_two_at_once_on_one_version_are_one_step_and_one_refusal(site, case):
    async def attempt(role: str) -> int:
        answer = await site[role].post(f"{case}/steps", json=NOTE, headers={"If-Match": '"1"'})
        return answer.status_code

    assert sorted(await asyncio.gather(attempt("biller"), attempt("admin"))) == [201, 412]


async def test_work_stands_while_remittances_come(site, case, record, select):
    await made(site["biller"], case, {"kind": "tag", "tag": "mri"})
    await made(site["biller"], case, SUBMIT)
    [row] = await select("select * from tracker.cases", site.organization)
    await record(
        outcome(
            "paid",
            on=FEB,
            paid=70,
            organization_id=site.organization,
            claim_key=row.claim_key,
            adjustments=(Adjustment(group="PR", reason="2", amount=30),),
        )
    )

    after = (await site["viewer"].get(case)).json()

    assert (after["state"], after["closed_reason"], after["tags"]) == ("closed", "recovered", ["mri"])
    assert (after["recovered_payer_amount"], after["recovered_patient_amount"]) == ("70.00", "30.00")
    assert (await told(select, site.organization))[-1]["closed_reason"] == "recovered"


async def test_a_case_goes_only_to_somebody_who_works_there(site, case, database):
    from shared.postgres import create_engine

    owner = create_engine(database.owner, name="test")
    ours, theirs = [
        (await create_principal_with_key(owner, role="biller", name="b", organization_id=one)).principal_id
        for one in (site.organization, site.stranger)
    ]
    await owner.dispose()

    await made(site["supervisor"], case, {"kind": "assign", "assignee_id": str(theirs)}, status=422)
    await made(site["biller"], case, {"kind": "assign", "assignee_id": str(ours)}, status=403)
    answer = await made(site["supervisor"], case, {"kind": "assign", "assignee_id": str(ours)})

    assert answer.json()["case"]["assignee_id"] == str(ours)


async def test_the_checklist_counts_what_is_there(site, case):
    before = (await site["viewer"].get(case)).json()
    await made(site["biller"], case, {"kind": "document_checked", "document": "Missing: notes"})
    after = (await site["viewer"].get(case)).json()

    assert [one["state"] for one in before["documents"]] == ["on_the_remittance", "missing"]
    assert (before["documents_complete"], after["documents_complete"]) == (0.5, 1.0)


async def test_a_clock_that_may_have_run_out_says_so(site, deny):
    past, ahead = datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
    await deny(clocks=(clock(None, permitted=None, earliest=past, latest=ahead),))

    shown = await only(site)

    assert shown["may_have_closed"] is True
    assert shown["next_deadline_at"] is not None


async def test_the_timeline_tells_where_each_thing_left_the_case(site, case, record, select):
    await made(site["biller"], case, NOTE)
    await made(site["biller"], case, SUBMIT)
    answer = {
        "kind": "determine",
        "request": "retro_authorization",
        "on": "2026-02-01",
        "outcome": "approved",
    }
    await made(site["biller"], case, answer)
    [row] = await select("select * from tracker.cases", site.organization)
    await record(outcome("paid", on=FEB, organization_id=site.organization, claim_key=row.claim_key))

    entries = (await site["viewer"].get(f"{case}/timeline")).json()["data"]

    told = {
        (entry["step"]["kind"] if entry["step"] else entry["kind"]): (entry["state"], entry["closed_reason"])
        for entry in entries
    }
    assert told == {
        "remittance": ("closed", "recovered"),
        "decision": ("open", None),
        "note": (None, None),
        "submit": ("submitted", None),
        "determine": ("approved", None),
    }
    assert [entry["step"]["number"] for entry in entries if entry["step"]] == [1, 2, 3]


async def test_what_people_wrote_goes_with_the_case_when_it_is_purged(site, case, select, engine):
    from services.tracker.store.retention import empty_claims
    from shared.postgres import transaction

    await made(site["biller"], case, NOTE)
    await made(site["biller"], case, SUBMIT)
    [row] = await select("select * from tracker.cases", site.organization)
    async with transaction(engine, organizations=[site.organization]) as connection:
        await empty_claims(connection, [row.claim_key])

    steps = (await site["viewer"].get(f"{case}/steps")).json()["data"]
    shown = await site["viewer"].get(case)
    refused = await made(site["biller"], case, NOTE, status=409)

    assert [(one["kind"], one["told"]) for one in steps] == [("note", {}), ("submit", {})]
    assert "REF-1" not in shown.text + (await site["viewer"].get(f"{case}/timeline")).text
    assert shown.json()["allowed_steps"] == []
    assert "purged" in refused.json()["detail"]


async def test_a_fact_that_is_sent_twice_under_one_key_is_stated_once(site, case):
    fact, key = {"kind": "urgency", "value": "urgent"}, {"Idempotency-Key": "k-1"}

    answers = [await site["biller"].post(f"{case}/facts", json=fact, headers=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len((await site["biller"].get(f"{case}/facts")).json()["data"]) == 1


async def test_a_late_part_of_the_denial_keeps_the_work_and_the_timeline_says_what_it_adds(
    site, deny, record, select
):
    first = await deny(claim_number="L-1", event="first")
    case = f"/v1/cases/{(await only(site))['case_id']}"
    await made(site["biller"], case, SUBMIT)
    await deny(claim_number="L-1", event="second", charge=50)

    after = (await site["viewer"].get(case)).json()
    entries = (await site["viewer"].get(f"{case}/timeline")).json()["data"]

    assert (after["state"], after["amount_at_stake"], after["needs_human"]) == ("submitted", "150.00", True)
    decisions = [one["decision"] for one in entries if one["kind"] == "decision"]
    assert decisions[0]["event_id"] == str(first.event_id)
    assert [one["said"] for one in decisions[0]["because"]] == []
    assert [one["said"] for one in decisions[1]["because"]] == [
        "a further part of the denial of 2026-01-10, which came later: the work on it goes on"
    ]
    assert [(one["field"], one["before"], one["after"]) for one in decisions[1]["changes"]] == [
        ("denied_amount", "100.00", "150.00"),
        ("amount_at_stake", "100.00", "150.00"),
    ]
    assert [one["state"] for one in entries if one["state"]] == ["open", "submitted"]


async def test_a_step_made_meanwhile_stands_neither_in_the_case_nor_in_what_is_expanded(
    site, case, monkeypatch
):
    read = cases.expanded

    async def late(*asked):
        await made(site["biller"], case, SUBMIT)
        return await read(*asked)

    monkeypatch.setattr(cases, "expanded", late)
    found = (await site["viewer"].get(case, params={"expand": "steps"})).json()

    assert (found["state"], found["version"], found["steps"]) == ("open", 1, [])
    assert (await site["viewer"].get(f"{case}/steps")).json()["data"]


async def test_a_case_is_given_with_what_expand_asks_for_as_its_own_routes_give_it(site, case):
    await made(site["biller"], case, SUBMIT)
    fact = {"kind": "urgency", "value": "urgent"}
    assert (await site["biller"].post(f"{case}/facts", json=fact)).status_code == 201
    file = await site["biller"].post(
        f"{case}/files", content=b"notes", headers={"Content-Type": "text/plain"}
    )
    assert file.status_code == 201, file.text
    parts = ("timeline", "steps", "facts", "files")

    plain = (await site["viewer"].get(case)).json()
    whole = (await site["viewer"].get(case, params={"expand": list(parts)})).json()
    one = (await site["viewer"].get(case, params={"expand": "steps"})).json()
    own = {part: (await site["viewer"].get(f"{case}/{part}")).json()["data"] for part in parts}
    unknown = await site["viewer"].get(case, params={"expand": "patient"})
    stranger = await site["stranger"].get(case, params={"expand": list(parts)})

    assert {part: plain[part] for part in parts} == dict.fromkeys(parts)
    assert {part: whole[part] for part in parts} == own
    assert [len(own[part]) for part in parts] == [5, 2, 1, 1]
    assert {part: one[part] for part in parts} == {**dict.fromkeys(parts), "steps": own["steps"]}
    assert {**whole, **dict.fromkeys(parts)} == plain
    assert (unknown.status_code, stranger.status_code) == (422, 404)
