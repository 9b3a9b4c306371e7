"""A policy changes: what was decided by the earlier one is decided again, once, wherever that is interrupted."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.triage.domain.policies import index_policies
from services.triage.store import redeciding
from services.triage.store.policy_sets import INSTALLATION, PolicySets, read_published
from services.triage.store.policy_versions import Author
from services.triage.store.publishing import keep_draft, publish
from services.triage.workers import reevaluating
from services.triage.workers.deciding import Rules
from services.triage.workers.reevaluating import work_on_due
from services.triage.workers.shipped import keep_shipped
from shared.calendars import Calendar
from shared.contracts.claim import Party
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.denial_triaged import DenialTriaged
from shared.postgres import transaction
from tests.support.database import Database
from tests.triage.conftest import SHIPPED, Triage
from tests.triage.messages import denial, fact
from tests.triage.policies import policy_text
from tests.triage.test_publishing import Site, site
from tests.triage.test_worker import Work, eventually, work

__all__ = ["site", "work"]

FAR = date(2090, 1, 1)
"""A clock that counts from here is open on any day on which this runs."""


def recent(site: Site, **changes: Any):
    """A denial whose clocks are still open."""
    return far(denial(**{"organization_id": site.mine, "payer_date": date(2090, 1, 2)} | changes))


def far(event: ClaimDenied) -> ClaimDenied:
    """Let the service be far ahead."""
    lines = tuple(msgspec.structs.replace(line, service_from=FAR) for line in event.lines)
    return msgspec.structs.replace(event, lines=lines, service_from=FAR, service_to=FAR)


async def finish(triage: Triage) -> None:
    """Work until nothing is due."""
    while await work_on_due(triage.engine, triage.rules):
        pass


async def revisions(site: Site, event_id: UUID, organization: UUID | None = None) -> list[Any]:
    found = await site.triage.decisions(organization or site.mine)
    return sorted((one for one in found if one.event_id == event_id), key=lambda one: one.revision)


async def test_a_publication_decides_again_what_it_touches_and_says_why(site: Site):
    event, other = recent(site), recent(site, payer=Party(name="SOMEBODY ELSE"))
    await site.triage.handle(event, other)
    await site.publish(policy_text())
    await finish(site.triage)
    first, second = await revisions(site, event.event_id)
    cause = second.payload["cause"]

    assert "invented" not in {clock["policy_id"] for clock in first.payload["clocks"]}
    assert "invented" in {clock["policy_id"] for clock in second.payload["clocks"]}
    assert (cause["kind"], cause["policy_id"], cause["policy_version"], cause["number"]) == (
        "policy_published",
        "invented",
        "1",
        1,
    )
    assert (cause["reason"], cause["role"], cause["layer"]) == ("checked by hand", "admin", "organization")
    assert len(await revisions(site, other.event_id)) == 1


async def test_a_text_with_the_same_rules_tells_only_that_its_version_is_another(site: Site):
    await site.publish(policy_text())
    event = recent(site)
    await site.triage.handle(event)
    await site.publish(policy_text(version="2"), based_on=1)
    await finish(site.triage)
    first, second = (one.payload["clocks"][0] for one in await revisions(site, event.event_id))

    assert (first["policy_version"], second["policy_version"]) == ("1", "2")
    assert first["deadline_at"] == second["deadline_at"]


async def test_a_retired_policy_decides_again_as_well(site: Site):
    await site.publish(policy_text())
    event = recent(site)
    await site.triage.handle(event)
    await site.call("POST", "/v1/policies/invented/versions/1/retire", reason="it was wrong")
    await finish(site.triage)
    *_, last = await revisions(site, event.event_id)

    assert last.payload["cause"]["kind"] == "policy_retired"
    assert "invented" not in {clock["policy_id"] for clock in last.payload["clocks"]}


async def test_what_no_clock_can_save_any_more_is_left_alone(site: Site):
    event = denial(organization_id=site.mine)  # of February 2026
    await site.publish(policy_text(days=20))
    await site.triage.handle(event)
    await site.publish(policy_text(days=21, version="2"), based_on=1)
    await finish(site.triage)

    assert len(await revisions(site, event.event_id)) == 1


async def test_facts_are_weighed_again_and_stay_listed(site: Site):
    event = recent(site)
    await site.triage.handle(event)
    about = fact(event)
    await site.triage.handle(about)
    await site.publish(policy_text())
    await finish(site.triage)
    *_, last = await revisions(site, event.event_id)

    assert last.revision == 3
    assert last.payload["fact_ids"] == [str(about.fact_id)]
    assert last.payload["urgency_class"] == "emergency"


async def test_an_organizations_publication_decides_nothing_of_others(site: Site):
    theirs = recent(site, organization_id=site.theirs)
    await site.triage.handle(theirs)
    await site.publish(policy_text())
    await finish(site.triage)

    assert len(await revisions(site, theirs.event_id, site.theirs)) == 1


async def test_the_operators_publication_decides_again_everywhere(site: Site):
    events = [recent(site, organization_id=one) for one in (site.mine, site.theirs)]
    for event in events:
        await site.triage.handle(event)
    await site.publish(policy_text(), "operator")
    await finish(site.triage)

    for event in events:
        assert len(await revisions(site, event.event_id, event.organization_id)) == 2


async def test_repeating_a_reevaluation_changes_nothing(site: Site):
    event = recent(site)
    await site.triage.handle(event)
    await site.publish(policy_text())
    await finish(site.triage)
    await site.triage.change(
        "update triage.reevaluations set finished_at = null, until_parcel = null, after_parcel = 0", site.mine
    )
    await finish(site.triage)

    assert len(await revisions(site, event.event_id)) == 2


async def test_several_workers_share_the_work(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redeciding, "MESSAGES_AT_ONCE", 10)
    events = [recent(site) for _ in range(60)]
    for at in range(0, 60, 5):
        await site.triage.handle(*events[at : at + 5])
    await site.publish(policy_text())
    await asyncio.gather(*(finish(site.triage) for _ in range(3)))
    await finish(site.triage)
    (row,) = await site.triage.rows("select * from triage.reevaluations", site.mine)
    found = await site.triage.decisions(site.mine)

    assert (row.looked, row.changed) == (60, 60)
    assert row.finished_at is not None
    assert len(found) == 120
    assert {one.revision for one in found} == {1, 2}


async def test_denials_that_arrive_meanwhile_end_up_decided_by_the_new_policy(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(redeciding, "MESSAGES_AT_ONCE", 10)
    events = [recent(site) for _ in range(120)]

    async def stream() -> None:
        for at in range(0, 120, 5):
            await site.triage.handle(*events[at : at + 5])

    async def put_in_force() -> None:
        while len(await site.triage.decisions(site.mine)) < 20:
            await asyncio.sleep(0.01)
        await site.publish(policy_text())
        await finish(site.triage)

    await asyncio.gather(stream(), put_in_force())
    await finish(site.triage)
    latest: dict[UUID, Any] = {}
    for one in await site.triage.decisions(site.mine):
        known = latest.get(one.event_id)
        if known is None or known.revision < one.revision:
            latest[one.event_id] = one

    assert len(latest) == 120
    assert all(
        "invented" in {clock["policy_id"] for clock in one.payload["clocks"]} for one in latest.values()
    )


async def test_a_denial_that_cannot_be_decided_holds_up_no_other(site: Site, monkeypatch: pytest.MonkeyPatch):
    poison, event = recent(site), recent(site)
    await site.triage.handle(poison, event)
    await site.publish(policy_text())
    healthy = reevaluating.triage_denial

    def failing(one: Any, *parts: Any, **more: Any) -> DenialTriaged:
        if one.event_id == poison.event_id:
            raise ZeroDivisionError
        return healthy(one, *parts, **more)

    monkeypatch.setattr(reevaluating, "triage_denial", failing)
    await finish(site.triage)

    assert len(await revisions(site, poison.event_id)) == 1
    assert len(await revisions(site, event.event_id)) == 2


async def test_what_a_publication_changes_goes_out_to_the_tracker(work: Work):
    event = far(denial(payer_date=date(2090, 1, 2)))
    author = Author("an admin", "admin", UUID(int=7))
    mine = event.organization_id
    async with work.worker():
        await work.publish(event)
        await eventually(lambda: work.decided(1))
        async with transaction(work.triage.engine, organizations=[mine]) as connection:
            text = policy_text().encode()
            draft, _ = await keep_draft(
                connection, mine, "invented", text, based_on=0, author=author, reason="a new payer"
            )
            await publish(
                connection,
                work.triage.rules.policies,
                draft,
                by=author,
                reason="checked by hand",
                organizations=[mine],
            )
        sent = await work.read("claim-decisions", 2)
    last = max(sent, key=lambda one: one["decision_revision"])

    assert (last["decision_revision"], last["cause"]["reason"]) == (2, "checked by hand")
    assert "invented" in {clock["policy_id"] for clock in last["clocks"]}


WORKER = textwrap.dedent("""
    import asyncio, os
    from shared.calendars import Calendar
    from services.triage.policies import shipped_policies
    from services.triage.store import redeciding
    from services.triage.store.policy_sets import PolicySets
    from services.triage.workers.deciding import Rules
    from services.triage.workers.reevaluating import work_on_due
    from shared.postgres import create_engine

    redeciding.MESSAGES_AT_ONCE = 10

    async def main():
        engine = create_engine(os.environ["URL"], name="to-be-killed")
        rules = Rules(policies=PolicySets(shipped_policies()), calendar=Calendar())
        worked = 0
        while True:  # what the one before it held is free once the database has noticed that it is gone
            if worked < 15 and await work_on_due(engine, rules):
                worked += 1  # far from all: however late the kill comes, it comes in the middle
            else:
                await asyncio.sleep(0.02)

    asyncio.run(main())
""")


async def test_killed_in_the_middle_it_goes_on_where_it_was(site: Site, database: Database):
    events = [recent(site) for _ in range(240)]
    for at in range(0, 240, 5):
        await site.triage.handle(*events[at : at + 5])
    await site.publish(policy_text())
    killed_in_the_middle = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env={**os.environ, "URL": database.url("reprieve_triage")},
            stderr=subprocess.DEVNULL,
        )
        try:
            before = (await progress(site)).looked
            until = time.monotonic() + 120
            while (now := await progress(site)).looked < min(before + 30, 240) and now.finished_at is None:
                assert time.monotonic() < until
                await asyncio.sleep(0.005)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        killed_in_the_middle += 0 < (await progress(site)).looked < 240
    until = time.monotonic() + 120
    while (await progress(site)).finished_at is None:  # the killed one's locks go when its connection does
        assert time.monotonic() < until
        await finish(site.triage)
    found = await site.triage.decisions(site.mine)

    assert killed_in_the_middle
    assert (await progress(site)).looked == 240
    assert len(found) == 480
    assert len({(one.event_id, one.revision) for one in found}) == 480


async def progress(site: Site) -> Any:
    (row,) = await site.triage.rows("select * from triage.reevaluations", site.mine)
    return row


async def test_an_earlier_denial_still_governs_when_a_policy_decides_again(site: Site):
    later = recent(site, payer_claim_number="INVENTED7")
    earlier = msgspec.structs.replace(later, event_id=uuid4(), payer_date=date(2089, 12, 20))
    await site.triage.handle(later, earlier)
    await site.publish(policy_text())
    await finish(site.triage)
    first, second = await revisions(site, later.event_id)

    assert second.payload["cause"]["kind"] == "policy_published"
    assert first.payload["told_before"] == second.payload["told_before"] == {"first_on": "2089-12-20"}


def shipped_with(site: Site, text: str) -> list[tuple[Any, bytes]]:
    """What a release ships that has one more text; the site's processes are then of that release."""
    policy = read_published(text.encode())
    reference = index_policies([*SHIPPED.policies, policy])
    site.triage.rules = Rules(policies=PolicySets(reference), calendar=Calendar())
    return [(policy.file, text.encode())]


async def test_a_release_that_ships_another_text_has_what_it_touches_decided_again_once(site: Site):
    event, other = recent(site), recent(site, payer=Party(name="SOMEBODY ELSE"))
    stop = asyncio.Event()
    engine = site.triage.engine
    first = shipped_with(site, policy_text(days=20))
    await keep_shipped(engine, first, stop)
    await site.triage.handle(event, other)
    await finish(site.triage)
    assert len(await revisions(site, event.event_id)) == 1  # an installation's first release changes nothing

    before = site.triage.rules
    second = shipped_with(site, policy_text(days=25, version="2"))
    await asyncio.gather(*(keep_shipped(engine, second, stop) for _ in range(3)))
    while await work_on_due(engine, before):  # the old release's process leaves it to the new one's
        pass
    assert len(await revisions(site, event.event_id)) == 1
    await finish(site.triage)
    await keep_shipped(engine, second, stop)
    await finish(site.triage)

    old, new = await revisions(site, event.event_id)
    assert (new.payload["cause"]["role"], new.payload["cause"]["policy_version"]) == ("distribution", "2")
    assert old.payload["clocks"] != new.payload["clocks"]
    assert len(await revisions(site, other.event_id)) == 1
    entries = await site.triage.rows(
        "select * from triage.audit_log where action = 'policy_shipped'", organization=INSTALLATION
    )
    assert [one.subject_id for one in entries] == ["invented"]
