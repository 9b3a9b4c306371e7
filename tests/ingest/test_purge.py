"""What is kept longer than it should be is destroyed by its keys; ids and amounts stay, and nothing waits for it."""

import asyncio
import json
import os
import re
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services import purge
from services.ingest.store import retention
from services.ingest.workers.holding import release_known
from services.purge import carry_out, scope_of
from shared.clock import now
from shared.contracts.claim_denied import ClaimDenied
from shared.errors import InvalidInputError
from shared.postgres import rows, transaction
from shared.security import administration
from shared.security.commands import Format
from shared.security.keyring import Keyring, ShreddedError
from shared.security.sealing import MasterKey
from shared.storage.objects import Objects
from tests.ingest.processes import REPRIEVE
from tests.ingest.remittances import NPI, OTHER_NPI, TestSet, denied, remittance
from tests.ingest.site import MASTER_KEY_TEXT, Site
from tests.support.database import Database

FILE = remittance(TestSet([denied("A1")]))
YOUNG = remittance(TestSet([denied("B1")], trace="T2"), control=2)

_PURGES = "select action, detail from access.operations_log where action like 'purge%' order by position"


async def made_old(site: Site, days: int = 400) -> None:
    """Let everything that is here be received so many days earlier, its month's key included."""
    async with transaction(
        site.owner, organizations=[site.organization_id], submitters=[site.submitter_id]
    ) as connection:
        for statement in (
            "update ingest.receipts set acknowledgment = 'declined', received_at = received_at - make_interval(days => :days)",
            "update ingest.remittances set received_at = received_at - make_interval(days => :days)",
            "update access.data_keys set month = date_trunc('month', month - :days * interval '1 day')",
            (
                "update ingest.claim_events_parcels set due_at = null, open_messages = 0,"
                " created_at = created_at - make_interval(days => :days)"
            ),
            "update ingest.claim_events set settled_at = now() where :days > 0",
        ):
            await rows(connection, statement + " returning 1", days=days)


async def purged(site: Site, **more: Any) -> purge.Found:
    scope = await scope_of(site.owner, today=now().date(), **{"older_than": 365, "name": None, **more})
    return await carry_out(site.owner, site.vault.objects, scope, show=lambda *_: None)


def raw_files(site: Site) -> list[Path]:
    return [path for path in site.vault.objects.folder.rglob("*") if path.is_file()]


async def test_old_files_lose_key_and_bytes_and_keep_receipt_ids_and_amounts(site: Site):
    await site.take_in(FILE)
    await made_old(site)
    young = await site.take_in(YOUNG)
    before = await site.claims()
    found = await purged(site)

    assert (found.files, found.bytes, found.held_files, found.parcels) == (1, len(FILE), 0, 1)
    receipts = await site.rows("select * from ingest.receipts order by received_at")
    assert [(one.wrapped_key is None, one.removed_at is None) for one in receipts] == [
        (True, False),
        (False, True),
    ]
    assert str(receipts[1].receipt_id) == young["receipt_id"]
    assert len(raw_files(site)) == 1
    assert await site.claims() == before
    assert len(await site.rows("select 1 from ingest.claim_events")) == 2
    assert len(await site.events()) == 1  # whose payload is left


async def test_what_a_person_supplied_and_free_text_of_the_file_go_with_it(site: Site):
    plb = "PLB*1234567893*20261231*WO:ACCT-7001*0"
    content = remittance(TestSet([denied("A1")], raw=[plb])).replace(b"CLP*A1*1*500", b"CLP*A1*1*5OO")
    await site.take_in(content)
    (one,) = (await site.get("/v1/quarantine", "admin")).json()["data"]
    path = f"/v1/quarantine/{one['quarantine_id']}"
    told = {"reason": "the portal says so", "charge_amount": "500"}
    released = await site.client.post(f"{path}/release", json=told, headers=site.headers("admin"))
    assert released.status_code == 202
    await site.read_due()
    await made_old(site)
    await purged(site)

    (kept,) = await site.rows("select state, supplied, reason, event_id from ingest.quarantined_claims")
    assert (kept.state, kept.supplied, kept.reason) == ("released", None, None)
    shown = (await site.get(f"/v1/remittances/{one['remittance_id']}", "admin")).json()
    assert [(a["reason"], a["reference"], a["links"]) for a in shown["provider_adjustments"]] == [
        ("WO", None, [])
    ]
    assert (await site.get(path, "admin")).status_code == 409
    replay = await site.client.post(
        f"/v1/remittances/{one['remittance_id']}/replay", headers=site.headers("admin")
    )
    assert replay.status_code == 409
    await site.reconciled()


async def test_a_looking_purge_destroys_nothing(site: Site):
    await site.take_in(FILE)
    await made_old(site)
    scope = await scope_of(site.owner, today=now().date(), older_than=365, name=None)
    found = await purge.find_old(site.owner, scope)

    assert (found.files, found.months, found.parcels) == (1, 1, 1)
    assert await purge.find_old(site.owner, scope) == found
    assert len(raw_files(site)) == 1


async def test_the_names_of_an_old_month_do_not_open_any_more(site: Site):
    await site.take_in(FILE)
    (event,) = await site.events()
    assert isinstance(event, ClaimDenied)
    assert event.patient.sealed is not None
    scope = retention.Scope({site.organization_id: now().date() + timedelta(days=40)}, None, [])
    async with transaction(site.owner) as connection:
        assert await retention.shred_months(connection, scope) == 1

    with pytest.raises(ShreddedError):
        await Keyring(site.engine, MasterKey.from_text(MASTER_KEY_TEXT)).open_person(
            site.organization_id, event.patient.sealed
        )


async def test_without_a_retention_nothing_is_old(site: Site):
    await site.take_in(FILE)
    await made_old(site, days=10_000)
    assert (await purged(site, older_than=None)).files == 0

    await administration.set_retention(site.owner, organization_id=site.organization_id, days=365)
    assert (await purged(site, older_than=None)).files == 1


@pytest.mark.parametrize("days", [0, 30, 36_501])
async def test_a_retention_of_less_than_a_month_is_refused_with_its_limits(site: Site, days: int):
    with pytest.raises(InvalidInputError, match=r"31 to 36,500 days.*by the month"):
        await administration.set_retention(site.owner, organization_id=site.organization_id, days=days)


async def test_a_file_of_two_organizations_stays_as_long_as_one_of_them_keeps_it(site: Site):
    other = await two_organizations(site)
    await site.take_in(
        remittance(TestSet([denied("A1")], npi=NPI), TestSet([denied("B1")], trace="T2", npi=OTHER_NPI))
    )
    await made_old(site)
    await administration.set_retention(site.owner, organization_id=site.organization_id, days=365)
    assert (await purged(site, older_than=None)).files == 0
    assert (await purged(site, name="Sample Clinic")).files == 0

    await administration.set_retention(site.owner, organization_id=other, days=365)
    assert (await purged(site, older_than=None)).files == 1


async def test_refused_files_go_when_everybody_would_let_them_go(site: Site):
    await site.take_in(b"no remittance at all")
    await made_old(site)

    assert (await purged(site)).files == 1


@pytest.mark.parametrize("state", ["due", "held"])
async def test_what_is_not_read_yet_stays(site: Site, state: str):
    if state == "held":
        await site.take_in(remittance(TestSet([denied("A1")], npi=OTHER_NPI)))
    else:
        await site.push(FILE)
    await made_old(site)
    found = await purged(site)

    assert (found.files, found.held_files) == (0, 1 if state == "held" else 0)
    assert len(raw_files(site)) == 1


async def purged_in_forty_days(site: Site) -> purge.Found:
    """Purge when all that is here is old, and let the worker forget every key that it fetched."""
    day = now().date() + timedelta(days=40)
    submitters = [one.submitter_id for one in await administration.list_submitters(site.owner)]
    scope = retention.Scope({site.organization_id: day}, day, submitters)
    found = await carry_out(site.owner, site.vault.objects, scope, show=lambda *_: None)
    keyring = Keyring(site.engine, MasterKey.from_text(MASTER_KEY_TEXT))
    site.workshop = replace(site.workshop, keyring=keyring)
    return found


async def test_a_held_set_can_still_be_read_when_its_payee_is_registered_after_a_purge(site: Site):
    await site.take_in(FILE)
    held = await site.take_in(remittance(TestSet([denied("B1")], trace="T2", npi=OTHER_NPI), control=2))
    await site.rows("update ingest.receipts set acknowledgment = 'declined' returning 1")
    found = await purged_in_forty_days(site)
    assert (found.files, found.held_files, found.months) == (1, 1, 0)

    await site.register(OTHER_NPI)
    assert await release_known(site.workshop) == 1
    await site.read_due()
    receipt = (await site.get(f"/v1/remittances/{held['receipt_id']}")).json()
    assert (receipt["status"], receipt["refused_reason"], receipt["held"]) == ("processed", None, [])
    assert len(await site.claims()) == 2
    found = await purged_in_forty_days(site)
    assert (found.files, found.held_files, found.months) == (1, 0, 1)


async def test_the_only_copy_of_a_claim_that_nobody_could_read_stays(
    site: Site, capsys: pytest.CaptureFixture[str]
):
    await site.take_in(remittance(TestSet([denied("A1")])).replace(b"CLP*A1*1*500", b"CLP*A1*1*5OO"))
    await site.rows("update ingest.receipts set acknowledgment = 'declined' returning 1")
    found = await purged_in_forty_days(site)
    assert (found.files, found.held_files, found.unread_files, found.months) == (0, 0, 1, 0)
    purge._say(found, Format.table, done=True)
    assert "1 file with claims that nobody could read yet" in capsys.readouterr().out

    (one,) = (await site.get("/v1/quarantine", "admin")).json()["data"]
    path = f"/v1/quarantine/{one['quarantine_id']}"
    told = {"reason": "the portal says so", "charge_amount": "500"}
    assert (
        await site.client.post(f"{path}/release", json=told, headers=site.headers("admin"))
    ).status_code == 202
    await site.read_due()
    assert len(await site.claims()) == 1

    await site.rows("update ingest.remittances set replay_asked_at = now() returning 1")
    assert (await purged_in_forty_days(site)).unread_files == 1
    await site.rows("update ingest.remittances set replay_asked_at = null returning 1")
    found = await purged_in_forty_days(site)
    assert (found.files, found.unread_files, found.months) == (1, 0, 1)
    gone = await site.get(path, "admin")
    assert gone.status_code == 409
    assert "not read again" in gone.json()["remedy"]


async def test_a_purge_that_is_stopped_leaves_nothing_that_the_next_one_forgets(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    for number in range(3):
        await site.take_in(remittance(TestSet([denied(f"A{number}")]), control=number + 1))
    await made_old(site)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Objects, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        await purged(site)
    monkeypatch.undo()
    assert len(raw_files(site)) == 3
    await purged(site)

    assert raw_files(site) == []
    async with transaction(site.owner) as connection:
        logged = await rows(connection, _PURGES)
    assert [line.action for line in logged] == ["purge_begun", "purge_begun", "purge_ended"]
    assert logged[0].detail["files"] == 3


async def test_parked_events_keep_their_payload(site: Site):
    await site.take_in(FILE)
    await made_old(site)
    await site.rows("update ingest.claim_events set settled_at = null, parked_at = now() returning 1")

    assert (await purged(site)).parcels == 0
    assert len(await site.events()) == 1


async def test_the_same_bytes_pushed_again_are_known_and_not_kept_again(site: Site):
    first = await site.take_in(FILE)
    await made_old(site)
    await purged(site)
    again = await site.push(FILE)

    assert (again.status_code, again.json()["receipt_id"]) == (200, first["receipt_id"])
    assert raw_files(site) == []


@pytest.mark.parametrize("shredded", ["file", "month"])
async def test_a_file_that_is_shredded_before_it_was_read_is_closed_and_says_why(site: Site, shredded: str):
    pushed = await site.push(FILE)
    if shredded == "file":
        await site.rows("update ingest.receipts set wrapped_key = null, shredded_at = now() returning 1")
    else:
        await shred_this_month(site, site.organization_id)
    await site.read_due()
    receipt = (await site.get(f"/v1/remittances/{pushed.json()['receipt_id']}")).json()

    assert (receipt["status"], receipt["refused_reason"]) == ("refused", "expired")
    assert [one["code"] for one in receipt["findings"]] == [
        f"{'file' if shredded == 'file' else 'set'}_expired"
    ]
    assert await site.rows("select 1 from ingest.receipts where due") == []


async def two_organizations(site: Site) -> UUID:
    """Register a second organization; gives its id."""
    other = await administration.create_organization(
        site.owner,
        name="Other Clinic",
        time_zone="America/New_York",
        master_key=MasterKey.from_text(MASTER_KEY_TEXT),
    )
    await administration.register_payee(
        site.owner, organization_id=other.organization_id, identifier=OTHER_NPI
    )
    return other.organization_id


async def shred_this_month(site: Site, organization: UUID) -> None:
    """Destroy the key of the month, and let the worker forget it."""
    async with transaction(site.owner) as connection:
        await rows(
            connection,
            "insert into access.data_keys (organization_id, month, wrapped_key, shredded_at)"
            " values (:organization, date_trunc('month', now() at time zone 'America/New_York'), null, now())"
            " on conflict (organization_id, month) do update set wrapped_key = null, shredded_at = now()"
            " returning 1",
            organization=organization,
        )
    keyring = Keyring(site.engine, MasterKey.from_text(MASTER_KEY_TEXT))
    site.workshop = replace(site.workshop, keyring=keyring)


@pytest.mark.parametrize("mine_first", [True, False])
async def test_a_month_that_one_organization_let_go_takes_no_claim_from_another(
    site: Site, *, mine_first: bool
):
    other = await two_organizations(site)
    sets = [TestSet([denied("A1")], npi=NPI), TestSet([denied("B1")], trace="T2", npi=OTHER_NPI)]
    pushed = await site.push(remittance(*(sets if mine_first else reversed(sets))))
    await shred_this_month(site, other)
    await site.read_due()
    receipt = (await site.get(f"/v1/remittances/{pushed.json()['receipt_id']}")).json()

    assert (receipt["status"], receipt["refused_reason"]) == ("processed", None)
    assert [one["code"] for one in receipt["findings"]] == ["set_expired"]
    assert [event.claim_number for event in await site.events()] == ["A1"]
    await site.reconciled()


async def test_a_lost_copy_is_read_again_though_one_organization_let_its_month_go(site: Site):
    other = await two_organizations(site)
    content = remittance(TestSet([denied("B1")], npi=OTHER_NPI), TestSet([denied("A1")], trace="T2"))
    await site.take_in(content)
    await shred_this_month(site, other)
    for path in raw_files(site):
        path.unlink()
    receipt = await site.take_in(content)

    assert (receipt["status"], receipt["refused_reason"], receipt["findings"]) == ("processed", None, [])
    assert len(await site.events()) == 1
    assert await site.rows("select 1 from ingest.receipts where due") == []


async def test_a_held_set_whose_month_was_let_go_is_closed_and_says_so(site: Site):
    held = await site.take_in(remittance(TestSet([denied("B1")], npi=OTHER_NPI)))
    other = await two_organizations(site)
    await shred_this_month(site, other)
    assert await release_known(site.workshop) == 1
    await site.read_due()
    assert await release_known(site.workshop) == 0

    receipt = (await site.get(f"/v1/remittances/{held['receipt_id']}")).json()
    assert (receipt["held"], [one["code"] for one in receipt["findings"]]) == ([], ["set_expired"])


async def test_a_held_set_whose_file_is_shredded_is_not_read_for_ever(site: Site):
    held = await site.take_in(remittance(TestSet([denied("A1")], npi=OTHER_NPI)))
    await site.rows("update ingest.receipts set wrapped_key = null, shredded_at = now() returning 1")
    await site.register(OTHER_NPI)
    assert await release_known(site.workshop) == 1
    await site.read_due()
    assert await release_known(site.workshop) == 0

    receipt = (await site.get(f"/v1/remittances/{held['receipt_id']}")).json()
    assert (receipt["status"], receipt["refused_reason"]) == ("processed", "expired")


async def test_an_operator_purges_by_command(site: Site, database: Database):
    await site.take_in(FILE)
    await made_old(site)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")},
        "REPRIEVE_ADMIN_DATABASE_URL": database.owner,
        "REPRIEVE_RAW_DIR": str(site.vault.objects.folder),
    }

    async def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [REPRIEVE, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert (await command("orgs", "retention", "Sample Clinic", "--days", "365")).returncode == 0
    looked = await command("purge")
    assert re.search(rf"raw files +1 +{len(FILE)}", looked.stdout)
    assert len(raw_files(site)) == 1
    done = await command("purge", "--yes")
    assert done.returncode == 0, done.stderr
    assert raw_files(site) == []
    left = json.loads((await command("purge", "--dry-run", "--format", "json")).stdout)
    assert (left["files"], left["months"], left["parcels"], left["dry_run"]) == (0, 0, 0, True)
    assert (await command("purge", "--dry-run", "--yes")).returncode == 2


async def test_an_unknown_organization_is_told(site: Site):
    with pytest.raises(InvalidInputError):
        await purge.scope_of(site.owner, today=now().date(), older_than=365, name="Nobody")
