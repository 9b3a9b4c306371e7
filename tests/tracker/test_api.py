"""The API over real cases: walls, roles, masks, filters, pages, facts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest

from services.tracker.domain.lifecycle import AT_ZERO
from shared.contracts.claim import Party, Reference
from shared.contracts.decision import DecisionCause
from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.parcels import payloads_of
from tests.tracker.site import FEB, JAN, Site, only, page
from tests.tracker.support import clock, denial, line, outcome


async def test_a_case_is_listed_with_string_amounts_and_a_masked_patient(site, deny):
    await deny(patient=await site.sealed(), charge="1240.50", claim_number="ACCT-1")

    case = await only(site)

    assert (case["amount_at_stake"], case["claim_number"], case["state"]) == ("1240.50", "ACCT-1", "open")
    assert case["patient"] == {"name": "•••", "member_id": "•••", "revealed": False}
    assert case["days_left"] > 1000


async def test_no_answer_names_the_patient_unless_asked(site, deny):
    await deny(patient=await site.sealed())
    case_id = (await only(site))["case_id"]

    answers = [
        await site["admin"].get(path)
        for path in ("/v1/cases", f"/v1/cases/{case_id}", f"/v1/cases/{case_id}/timeline", "/v1/summary")
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert not [
        answer
        for answer in answers
        if any(word in answer.text for word in ("Byron", "Ada", "MEMBER-77", "s1."))
    ]


async def test_revealing_opens_the_identifiers_and_is_audited(site, deny, select):
    await deny(patient=await site.sealed())
    case_id = (await only(site))["case_id"]

    answer = await site["biller"].get(f"/v1/cases/{case_id}", params={"reveal": True})
    audited = await select("select * from tracker.audit_log", organization=site.organization)

    assert answer.json()["patient"] == {"name": "Byron, Ada", "member_id": "MEMBER-77", "revealed": True}
    assert [(row.action, str(row.subject_id), row.detail) for row in audited] == [
        ("identifiers_opened", case_id, {})
    ]


@pytest.mark.parametrize("role", ["viewer", "auditor"])
async def test_roles_that_may_not_open_are_refused_and_nothing_is_opened(site, deny, select, role):
    await deny(patient=await site.sealed())
    case_id = (await only(site))["case_id"]

    answer = await site[role].get(f"/v1/cases/{case_id}", params={"reveal": True})

    assert answer.status_code == 403
    assert "Byron" not in answer.text
    assert await select("select 1 from tracker.audit_log", organization=site.organization) == []


async def test_another_organizations_case_is_not_there(site, deny):
    await deny()
    case_id = (await only(site))["case_id"]
    stranger = site["stranger"]

    theirs = await stranger.get(f"/v1/cases/{case_id}")
    nobodys = await stranger.get(f"/v1/cases/{uuid4()}")
    others = [
        await stranger.get(f"/v1/cases/{case_id}/timeline"),
        await stranger.get(f"/v1/cases/{case_id}/facts"),
        await stranger.post(f"/v1/cases/{case_id}/facts", json={"kind": "urgency", "value": "urgent"}),
    ]

    assert (await page(stranger))["data"] == []
    assert (await stranger.get("/v1/summary")).json()["denials"] == 0
    assert [answer.status_code for answer in (theirs, nobodys, *others)] == [404] * 5
    assert {k: v for k, v in theirs.json().items() if k != "request_id"} == {
        k: v for k, v in nobodys.json().items() if k != "request_id"
    }
    assert (await stranger.get("/v1/reconciliation/ledger")).text == ""


async def test_the_operator_sees_no_case_but_every_sum(site, deny):
    event = await deny()
    case_id = (await only(site))["case_id"]
    operator = site["operator"]

    refused = [
        await operator.get(path)
        for path in ("/v1/cases", f"/v1/cases/{case_id}", f"/v1/cases/{case_id}/timeline", "/v1/summary")
    ]
    ledger = await operator.get("/v1/reconciliation/ledger")

    assert [answer.status_code for answer in refused] == [403] * 4
    assert [msgspec.json.decode(row) for row in ledger.content.splitlines()] == [
        {
            "organization_id": str(site.organization),
            "event_id": str(event.event_id),
            "revision": 1,
            "charge_amount": "100",
            "denied_amount": "100",
            "decision_revision": 1,
        }
    ]


async def test_the_ledger_is_ordered_over_pages_and_shows_the_highest_decision_revision(
    site, record, monkeypatch
):
    monkeypatch.setattr("services.tracker.store.reconciliation.PAGE_ROWS", 3)
    events = [denial(organization_id=site.organization, claim_key=uuid4()) for _ in range(10)]
    again = msgspec.structs.replace(events[0], decision_revision=2, decision_id=uuid4())
    await record(*events, again)

    answer = await site["auditor"].get("/v1/reconciliation/ledger", params={"since": "2020-01-01"})
    lines = [msgspec.json.decode(row) for row in answer.content.splitlines()]

    assert [row["event_id"] for row in lines] == sorted(str(event.event_id) for event in events)
    assert {row["event_id"]: row["decision_revision"] for row in lines}[str(events[0].event_id)] == 2
    assert (await site["auditor"].get("/v1/reconciliation/ledger", params={"since": "2999-01-01"})).text == ""


async def test_each_filter_keeps_what_it_names_and_nothing_else(site, deny, record):
    other = Party(name="Other Plan", ids=(Reference(qualifier="XV", value="OTHER1"),))
    soon = datetime.now(UTC) + timedelta(days=3)
    await deny(claim_number="plain")
    await deny(claim_number="ours-not", auth_related=False, category="not_authorization", amount=10)
    await deny(claim_number="payer", payer=other, category="authorization_exceeded")
    await deny(claim_number="soon", clocks=(clock(soon),))
    await deny(claim_number="big", charge=5000)
    await deny(claim_number="human", needs_human=True, needs_human_reasons=("x",))
    await deny(claim_number="test", is_test=True)
    paid = await deny(claim_number="paid", on=JAN)
    await record(
        outcome(
            "paid", on=FEB, organization_id=site.organization, claim_key=paid.claim_key, claim_number="paid"
        )
    )

    async def names(**query) -> set[str]:
        return {case["claim_number"] for case in (await page(site["viewer"], **query))["data"]}

    assert await names(state="paid") == set()
    assert await names(state=["paid", "closed"]) == {"paid", "ours-not"}
    assert await names(payer="OTHER1") == await names(payer="other plan") == {"payer"}
    assert await names(category="authorization_exceeded") == {"payer"}
    assert await names(auth_related=False) == {"ours-not"}
    assert await names(deadline_before=(soon + timedelta(days=2)).date().isoformat()) == {"soon"}
    assert await names(deadline_before=soon.isoformat()) == set()
    assert await names(amount_at_least="5000") == {"big"}
    assert await names(claim_number=" SOON ") == {"soon"}
    assert await names(needs_human=True) == {"human"}
    assert len(await names()) == 7
    assert await names(include_test=True) - await names() == {"test"}


async def test_a_deadline_is_before_a_day_where_the_payer_is(site, deny):
    evening = datetime(2098, 1, 2, 4, 59, 59, tzinfo=UTC)  # the end of the first of January in New York
    await deny(clocks=(clock(evening),))

    assert (await only(site, deadline_before="2098-01-02"))["next_deadline_on"] == "2098-01-01"
    assert (await page(site["viewer"], deadline_before="2098-01-01"))["data"] == []


@pytest.mark.parametrize(
    "sort", ["priority", "-priority", "deadline", "-deadline", "amount", "-amount", "opened", "-opened"]
)
async def test_pages_are_complete_ordered_and_without_repeats(site, record, sort):
    events = [
        denial(
            organization_id=site.organization,
            claim_key=uuid4(),
            claim_number=f"C-{number}",
            priority=number % 3,
            charge=number % 4,
            clocks=(clock(datetime(2090, 1, 1 + number % 5, tzinfo=UTC)),) if number % 5 else (),
        )
        for number in range(23)
    ]
    for start in range(0, 23, 6):
        await record(*events[start : start + 6])

    cases, cursor = [], None
    while True:
        found = await page(site["viewer"], sort=sort, limit=4, **({"cursor": cursor} if cursor else {}))
        cases += found["data"]
        cursor = found["next_cursor"]
        assert found["has_more"] is (cursor is not None)
        if cursor is None:
            break

    field = {
        "priority": "priority",
        "deadline": "next_deadline_at",
        "amount": "amount_at_stake",
        "opened": "opened_at",
    }
    values = [case[field[sort.removeprefix("-")]] for case in cases]
    assert len({case["case_id"] for case in cases}) == len(cases) == 23
    keyed = [Decimal(value) if "amount" in sort else "9999" if value is None else value for value in values]
    assert keyed == sorted(keyed, reverse=sort.startswith("-"))


async def test_a_cursor_of_another_list_or_hand_is_refused(site, deny):
    await deny()
    await deny()
    cursor = (await page(site["viewer"], limit=1))["next_cursor"]

    for query in ({"cursor": cursor, "sort": "amount"}, {"cursor": "x" + cursor}, {"cursor": "e30"}):
        answer = await site["viewer"].get("/v1/cases", params=query)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"sort": "name"},
        {"state": "x"},
        {"amount_at_least": "NaN"},
        {"payer": "\x00"},
    ],
)
async def test_a_query_that_makes_no_sense_is_a_problem_and_not_a_crash(site, query):
    assert (await site["viewer"].get("/v1/cases", params=query)).status_code == 422


async def test_a_case_shows_its_decision_its_clocks_as_they_stand_and_its_observations(site, deny, record):
    past, ahead = datetime(2026, 1, 20, tzinfo=UTC), datetime.now(UTC) + timedelta(days=10)
    event = await deny(
        clocks=(
            clock(ahead, kind="retro_authorization", steps=("day 0 is the remittance's date",)),
            clock(past, kind="notification"),
            clock(None, kind="appeal_level_1", permitted=None, earliest=ahead, latest=None),
            clock(None, kind="peer_to_peer", permitted=False, reasons=("not for this plan",)),
        ),
        explanation=("CO-197",),
        documents=("clinical notes",),
        next_actions=("search first",),
        lines=(line(),),
    )
    await record(outcome("zero", on=FEB, organization_id=site.organization, claim_key=event.claim_key))
    case_id = (await only(site))["case_id"]

    case = (await site["viewer"].get(f"/v1/cases/{case_id}")).json()
    clocks = {one["kind"]: (one["status"], one["days_left"]) for one in case["decision"]["clocks"]}

    assert clocks == {
        "retro_authorization": ("open", 10),
        "notification": ("expired", 0),
        "appeal_level_1": ("undetermined", 10),
        "peer_to_peer": ("not_permitted", None),
    }
    assert case["decision"]["items"][0]["reason"] == "197"
    assert case["decision"]["explanation"] == ["CO-197"]
    assert [one["saw"] for one in case["observations"]] == ["denied", "zero"]
    assert case["needs_human_reasons"] == [AT_ZERO]


async def test_every_part_of_a_split_claim_shows_its_decision(site, deny, record):
    first = await deny(on=JAN)
    second = denial(
        on=JAN,
        position=2,
        organization_id=site.organization,
        claim_key=first.claim_key,
        payer_claim_number="P-2",
    )
    await record(second)

    case = (await site["viewer"].get(f"/v1/cases/{(await only(site))['case_id']}")).json()

    shown = [case["decision"], *case["further_decisions"]]
    assert {one["event_id"] for one in shown} == {str(first.event_id), str(second.event_id)}
    assert case["amount_at_stake"] == "200.00"


async def test_a_fact_is_sent_to_triage_audited_and_settled_by_the_decision_that_weighed_it(
    site, deny, record, select
):
    event = await deny()
    case_id = (await only(site))["case_id"]
    path = f"/v1/cases/{case_id}/facts"

    stated = await site["biller"].post(
        path, json={"kind": "admission_date", "value": " 2026-01-01 ", "note": "ward 3"}
    )
    [row] = await select(
        "select p.payloads, p.ends"
        " from tracker.facts f join tracker.facts_parcels p using (organization_id, parcel_id)",
        organization=site.organization,
    )
    [payload] = payloads_of(row)
    sent = msgspec.json.decode(payload, type=FactRecorded)

    assert stated.status_code == 201
    assert (stated.json()["value"], stated.json()["state"]) == ("2026-01-01", "sent")
    assert (sent.kind, sent.value, sent.event_ids, sent.case_id) == (
        "admission_date",
        "2026-01-01",
        (event.event_id,),
        UUID(case_id),
    )
    assert "ward" not in payload.decode()
    [audited] = await select("select * from tracker.audit_log", organization=site.organization)
    assert (audited.action, audited.detail["kind"]) == ("fact_recorded", "admission_date")

    await record(
        msgspec.structs.replace(
            event,
            decision_revision=2,
            decision_id=uuid4(),
            fact_ids=(sent.fact_id,),
            priority=99,
            recommended_action="notify_payer",
        )
    )
    [listed] = (await site["viewer"].get(path)).json()["data"]
    timeline = (await site["viewer"].get(f"/v1/cases/{case_id}/timeline")).json()["data"]

    assert listed["state"] == "weighed"
    assert [entry["kind"] for entry in timeline] == ["remittance", "decision", "fact", "decision"]
    assert {
        change["field"]: (change["before"], change["after"]) for change in timeline[3]["decision"]["changes"]
    } == {
        "priority": ("50", "99"),
        "recommended_action": ("request_retro_authorization", "notify_payer"),
    }
    assert [one["said"] for one in timeline[3]["decision"]["because"]] == [
        "admission date 2026-01-01, stated by the biller"
    ]


async def test_a_timeline_says_which_policy_moved_a_deadline_and_why(site, deny, record):
    event = await deny(clocks=(clock(),))
    case_id = (await only(site))["case_id"]
    cause = DecisionCause(
        kind="policy_published",
        policy_id="plan-a",
        policy_version="2027-01-01",
        layer="organization",
        number=3,
        reason="the payer's page changed",
        role="admin",
    )
    moved = clock(policy_version="2027-01-01", deadline_at=datetime(2099, 2, 1, 5, 59, 59, tzinfo=UTC))
    again = msgspec.structs.replace(event, clocks=(moved,), cause=cause)
    await record(msgspec.structs.replace(again, decision_revision=2, decision_id=uuid4()))
    timeline = (await site["viewer"].get(f"/v1/cases/{case_id}/timeline")).json()["data"]
    first, second = (one["decision"] for one in timeline if one["kind"] == "decision")
    kinds = {one["field"]: (one["before"], one["after"]) for one in second["changes"]}

    assert (first["changes"], first["because"]) == ([], [])
    assert [one["said"] for one in second["because"]] == [
        "policy plan-a version 2027-01-01 published by the admin: the payer's page changed"
    ]
    assert kinds["clocks.retro_authorization.rule"] == ("acme 1", "acme 2027-01-01")
    assert kinds["clocks.retro_authorization"][1] == "2099-02-01T05:59:59+00:00"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("admission_date", "01/02/2026"),
        ("admission_date", "2026-02-30"),
        ("admission_date", "0026-02-03"),
        ("coverage_known_at", "2026-02-03T10:00:00"),
        ("enrolment_month", "2026-13"),
        ("urgency", "very"),
        ("network_status", "yes"),
        ("delegate", "évicore"),
        ("authorization_found", " "),
        ("colour", "red"),
    ],
)
async def test_a_fact_in_a_wrong_form_is_refused_without_repeating_it(site, deny, select, kind, value):
    await deny()
    case_id = (await only(site))["case_id"]

    answer = await site["biller"].post(f"/v1/cases/{case_id}/facts", json={"kind": kind, "value": value})

    assert answer.status_code == 422
    assert value == " " or value not in answer.text
    assert await select("select 1 from tracker.facts", organization=site.organization) == []


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("coverage_known_at", "2026-02-03T10:00:00-05:00", "2026-02-03T10:00:00-05:00"),
        ("enrolment_month", "2026-02", "2026-02"),
        ("urgency", "Emergency", "emergency"),
        ("delegate", "Evi Core", "evi_core"),
        ("authorization_found", " A-77 ", "A-77"),
    ],
)
async def test_a_fact_is_kept_in_the_form_of_its_kind(site, deny, kind, value, kept):
    await deny()
    case_id = (await only(site))["case_id"]

    answer = await site["supervisor"].post(f"/v1/cases/{case_id}/facts", json={"kind": kind, "value": value})

    assert (answer.status_code, answer.json()["value"]) == (201, kept)


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator"])
async def test_only_who_works_cases_states_facts(site, deny, role):
    await deny()
    case_id = (await only(site))["case_id"]

    answer = await site[role].post(f"/v1/cases/{case_id}/facts", json={"kind": "urgency", "value": "urgent"})

    assert answer.status_code == 403


async def test_the_summary_counts_what_can_still_be_saved(site, deny, record):
    noon = datetime.now(ZoneInfo("America/New_York")).replace(hour=12)  # whatever hour it is when this runs
    soon = (noon + timedelta(days=3)).astimezone(UTC)
    await deny(charge="100.10", clocks=(clock(soon),))
    await deny(charge="50")
    await deny(charge="20", clocks=())
    await deny(auth_related=False, category="not_authorization", charge="7")
    await deny(is_test=True)

    summary = (await site["viewer"].get("/v1/summary")).json()

    assert {
        name: summary[name] for name in ("denials", "auth_related", "open_cases", "open_clock_cases")
    } == {
        "denials": 4,
        "auth_related": 3,
        "open_cases": 3,
        "open_clock_cases": 2,
    }
    assert (summary["open_clock_amount"], summary["denied_amount"]) == ("150.10", "177.10")
    assert summary["next_deadline_days_left"] == 3
    assert summary["next_deadline_zone"] == "America/New_York"


async def test_the_description_names_every_operation_once(site):
    described = (await site["viewer"].get("/openapi.json")).json()

    ids = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]

    assert len(ids) == len(set(ids))
    assert {
        "list_cases",
        "get_case",
        "get_case_timeline",
        "record_fact",
        "get_summary",
        "reconcile_ledger",
    } <= set(ids)


async def test_a_purged_case_shows_what_is_left_and_takes_no_facts(site: Site, deny, select):
    await deny()
    case_id = (await only(site))["case_id"]
    await select(
        "with emptied as (update tracker.ledger set bundle_id = null returning 1)"
        " update tracker.cases set purged_at = now(), claim_number = '' returning 1",
        organization=site.organization,
    )
    shown = await site["biller"].get(f"/v1/cases/{case_id}", params={"reveal": True})
    told = await site["biller"].get(f"/v1/cases/{case_id}/timeline")
    refused = await site["biller"].post(
        f"/v1/cases/{case_id}/facts", json={"kind": "urgency", "value": "emergency"}
    )

    assert (shown.status_code, shown.json()["decision"], shown.json()["observations"]) == (200, None, [])
    assert shown.json()["patient"]["name"] is None
    assert shown.json()["purged_at"] is not None
    assert (told.status_code, told.json()["data"]) == (200, [])
    assert refused.status_code == 409
    assert "cannot be decided again" in refused.json()["detail"]
