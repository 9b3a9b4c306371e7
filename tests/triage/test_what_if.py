"""What if: previews, simulations, coverage. They store nothing, and stay behind the walls."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.triage.api.supposing import read_policies
from shared.contracts.base import encode
from shared.contracts.claim import Party
from shared.errors import InvalidInputError
from tests.triage.messages import denial, fact
from tests.triage.policies import policy_text
from tests.triage.test_publishing import Site, site
from tests.triage.test_reevaluating import recent

__all__ = ["site"]


async def preview(site: Site, **asked: Any) -> dict[str, Any]:
    answer = await site.call("POST", "/v1/decisions/preview", "biller", **asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def lines(
    site: Site, method: str, path: str, role: str = "biller", **asked: Any
) -> list[dict[str, Any]]:
    answer = await site.call(method, path, role, **asked)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def rows_stored(site: Site) -> list[Any]:
    tables = ("events", "facts", "decisions", "policy_versions", "reevaluations")
    counts = ", ".join(f"(select count(*) from triage.{table}) as {table}" for table in tables)
    return [tuple(row) for row in await site.triage.rows(f"select {counts}", site.mine)]


async def test_a_preview_decides_by_policies_that_nobody_published_and_stores_nothing(site: Site):
    event = denial(organization_id=site.mine)
    await site.triage.handle(event)
    before = await rows_stored(site)
    found = await preview(
        site, event_id=str(event.event_id), policies=[policy_text(days=27)], as_of="2026-02-10"
    )
    (clock,) = [one for one in found["decision"]["clocks"] if one["policy_id"] == "invented"]

    assert clock["deadline_at"] == "2026-02-28T23:59:59-06:00"
    assert found["decision"]["as_of"] == "2026-02-10"
    assert "invented" not in {one["policy_id"] for one in found["stored"]["clocks"]}
    assert await rows_stored(site) == before


async def test_a_preview_weighs_what_was_stated_and_what_is_supposed(site: Site):
    event = denial(organization_id=site.mine)
    await site.triage.handle(event, fact(event))
    stated = await preview(site, event_id=str(event.event_id))
    supposed = await preview(
        site, event_id=str(event.event_id), facts=[{"kind": "urgency", "value": "elective"}]
    )

    assert stated["decision"]["urgency_class"] == "emergency"
    assert supposed["decision"]["urgency_class"] == "elective"


@pytest.mark.parametrize("shape", [lambda text: {"a.toml": text}, lambda text: [text]])
async def test_a_preview_takes_policies_as_a_simulation_does(site: Site, shape: Any):
    asked = {"denial": json.loads(encode(denial())), "as_of": "2026-02-10"}
    found = await preview(site, **asked, policies=shape(policy_text(days=21)))
    wrong = await site.call("POST", "/v1/decisions/preview", "biller", **asked, policies=shape("id = 1"))

    assert found["decision"]["payer_match"] == "invented"
    assert wrong.status_code == 422
    assert all(
        one["field"].startswith(("policies.a.toml: ", "policies.0: ")) for one in wrong.json()["errors"]
    )


async def test_a_denial_of_ones_own_is_previewed_with_as_little_as_its_rules_need(site: Site):
    full = json.loads(encode(denial()))
    needed = ("payer", "payer_date", "charge_amount", "paid_amount", "lines", "denied", "service_from")
    found = await preview(
        site,
        denial={name: full[name] for name in needed},
        policies=[policy_text(days=21)],
        as_of="2026-02-10",
    )

    assert found["decision"]["amount_at_stake"] == "250.00"
    assert "2026-02-22T23:59:59-06:00" in {clock.get("deadline_at") for clock in found["decision"]["clocks"]}


async def test_what_is_wrong_with_a_preview_is_named(site: Site):
    wrong = [
        ({"denial": {"payer": {}, "lines": [{"number": "x"}]}}, "denial.lines[0].number"),
        ({"denial": {}, "policies": ["id = 1"]}, "denial"),
        ({"denial": {}, "facts": [{"kind": "urgency", "value": "perhaps"}]}, "denial"),
        ({"denial": {}, "event_id": "0b6b1c7e-6f0a-4a57-9d6d-6d1f3a1f6a10"}, None),
    ]
    for asked, field in wrong:
        answer = await site.call("POST", "/v1/decisions/preview", "biller", **asked)
        named = [one["field"] for one in answer.json().get("errors", ())]
        assert answer.status_code == 422, answer.text
        assert named == ([] if field is None else [field])


async def test_a_denial_behind_another_wall_is_not_there(site: Site):
    event = denial(organization_id=site.theirs)
    await site.triage.handle(event)
    answer = await site.call("POST", "/v1/decisions/preview", "biller", event_id=str(event.event_id))

    assert answer.status_code == 404


async def test_a_simulation_tells_denials_dollars_and_deadlines_and_stores_nothing(site: Site):
    await site.publish(policy_text(days=20))
    events = [recent(site) for _ in range(3)]
    other = recent(site, payer=Party(name="SOMEBODY ELSE"))
    await site.triage.handle(*events, other, recent(site, organization_id=site.theirs))
    before = await rows_stored(site)
    longer = {"invented.toml": policy_text(days=25, version="2")}
    told = await lines(site, "POST", "/v1/simulations", policies=longer)
    changed = [one for one in told if one["kind"] == "changed"]
    summary = told[-1]

    assert told[0] == {"kind": "begun", "total": 4}
    assert {one["event_id"] for one in changed} == {str(event.event_id) for event in events}
    assert {one["deadline"] for one in changed} == {"later"}
    assert (summary["denials"], summary["claims"]) == (4, 3)
    assert summary["changed"] == {"denials": 3, "amount": "750.00"}
    assert summary["deadlines"] == {"later": {"denials": 3, "amount": "750.00"}}
    assert summary["clocks"] == [
        {"kind": "retro_authorization", "move": "later", "denials": 3, "amount": "750.00"}
    ]
    assert await rows_stored(site) == before


async def test_a_simulation_by_the_policies_in_force_changes_nothing(site: Site):
    await site.publish(policy_text())
    await site.triage.handle(*(recent(site) for _ in range(2)))
    (*_, summary) = await lines(site, "POST", "/v1/simulations", policies={"same.toml": policy_text()})

    assert (summary["denials"], summary["changed"]["denials"]) == (2, 0)


async def test_a_denial_that_was_decided_twice_is_simulated_once_with_its_facts(site: Site):
    event = recent(site)
    await site.triage.handle(event)
    await site.triage.handle(fact(event))
    (*_, summary) = await lines(site, "POST", "/v1/simulations", policies={"a.toml": policy_text()})

    assert (summary["looked"], summary["denials"], summary["changed"]["denials"]) == (2, 1, 1)


async def test_a_simulation_since_tomorrow_looks_at_nothing(site: Site):
    await site.triage.handle(recent(site))
    (begun, summary) = await lines(
        site, "POST", "/v1/simulations", policies={"a.toml": policy_text()}, since="2199-01-01"
    )

    assert (begun["total"], summary["denials"]) == (0, 0)


async def test_the_operator_is_told_sums_over_all_organizations_and_no_denial(site: Site):
    for organization in (site.mine, site.theirs):
        await site.triage.handle(recent(site, organization_id=organization))
    told = await lines(site, "POST", "/v1/simulations", "operator", policies={"a.toml": policy_text()})

    assert {one["kind"] for one in told} == {"begun", "progress", "summary"}
    assert told[-1]["changed"]["denials"] == 2


async def test_nothing_of_a_patient_is_in_what_a_simulation_tells(site: Site):
    await site.triage.handle(recent(site, claim_number="SECRET-CLAIM", payer_claim_number="SECRET-ICN"))
    answer = await site.call("POST", "/v1/simulations", "biller", policies={"a.toml": policy_text()})

    assert '"changed"' in answer.text
    assert "SECRET" not in answer.text


async def test_a_wrong_file_of_a_simulation_is_named_with_its_key(site: Site):
    text = policy_text().replace('"calendar_days"', '"fortnights"')
    answer = await site.call("POST", "/v1/simulations", "biller", policies={"a.toml": text})

    assert answer.status_code == 422
    assert "policies.a.toml: clocks[1].unit" in {one["field"] for one in answer.json()["errors"]}


async def test_coverage_ranks_payers_by_the_dollars_that_they_deny(site: Site):
    big = denial(organization_id=site.mine, payer=Party(name="Big Unknown, Inc."))
    again = msgspec.structs.replace(big, event_id=denial().event_id, payer=Party(name="BIG UNKNOWN"))
    await site.publish(policy_text())
    await site.triage.handle(big, again, denial(organization_id=site.mine))
    await site.triage.handle(fact(big))
    payers = [one for one in await lines(site, "GET", "/v1/coverage") if one["kind"] == "payer"]

    assert [(one["standing"], one["denials"]) for one in payers] == [("none", 2), ("unconfirmed", 1)]
    assert payers[0]["payer"].upper().startswith("BIG UNKNOWN")
    assert Decimal(payers[0]["denied_amount"]) == Decimal("500.00")
    assert payers[1]["policies"] == ["invented"]


async def test_a_confirmed_policy_covers_its_payer(site: Site):
    await site.publish(policy_text(status="confirmed"))
    await site.triage.handle(denial(organization_id=site.mine))
    payers = [one for one in await lines(site, "GET", "/v1/coverage", "operator") if one["kind"] == "payer"]

    assert [one["standing"] for one in payers] == ["confirmed"]


async def test_reevaluations_are_listed_with_their_progress(site: Site):
    from tests.triage.test_reevaluating import finish

    await site.triage.handle(recent(site))
    await site.publish(policy_text())
    (waiting,) = (await site.call("GET", "/v1/reevaluations", "biller")).json()["data"]
    await finish(site.triage)
    (finished,) = (await site.call("GET", "/v1/reevaluations", "biller")).json()["data"]
    theirs = (await site.call("GET", "/v1/reevaluations", "stranger")).json()["data"]

    assert (waiting["state"], finished["state"], finished["changed"]) == ("waiting", "finished", 1)
    assert theirs == []


TOO_MUCH = {
    "too deep": "x = " + "\n".join("[" * 1000 for _ in range(20)),
    "too long a line": "a" + ".a" * 10_000 + " = 1",
    "too long": "# nothing\n" * 10_000,
}


@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH.keys())
async def test_a_policy_that_takes_minutes_to_read_is_refused(site: Site, text: str):
    answer = await site.call("POST", "/v1/simulations", "biller", policies={"a.toml": text})

    assert answer.status_code == 422, answer.text


def test_of_a_policy_of_mistakes_the_first_ones_are_told():
    with pytest.raises(InvalidInputError) as refused:
        read_policies({"a.toml": "\n".join(f"[[clocks]]\nk{number} = 1" for number in range(2_000))})

    assert 100 <= len(refused.value.errors) <= 200


def test_policies_that_are_too_long_together_are_refused():
    with pytest.raises(InvalidInputError, match="together"):
        read_policies({f"{number}.toml": "# nothing\n" * 5_000 for number in range(41)})
