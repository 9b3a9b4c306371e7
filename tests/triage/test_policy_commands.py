"""`reprieve policies` against a real stack's triage: load, diff, publish, export, coverage, simulate."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.triage.app import api
from services.triage.commands import policies
from services.triage.domain.differences import differences
from services.triage.policy_commands import to_publish
from shared.errors import ConflictError
from shared.http.server import serve
from tests.support.ports import free_port
from tests.triage.conftest import SHIPPED
from tests.triage.policies import policy_text
from tests.triage.test_publishing import Site, site
from tests.triage.test_reevaluating import recent

__all__ = ["site"]

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def run(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """Run a command as an admin against triage's API on a port."""
    stop, port = asyncio.Event(), free_port()
    serving = asyncio.create_task(serve(api(site.triage.engine, SHIPPED), "127.0.0.1", port, stop))
    monkeypatch.setenv("REPRIEVE_TRIAGE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*words: str, role: str = "admin", status: int = 0) -> Result:
        monkeypatch.setenv("REPRIEVE_API_KEY", site.keys[role])
        result = await asyncio.to_thread(CliRunner().invoke, policies, list(words))
        assert result.exit_code == status, (result.output, result.exception)
        return result

    yield run
    stop.set()
    await serving


async def test_files_become_drafts_are_published_compared_and_given_back(
    run: Run, site: Site, tmp_path: Path
):
    file = tmp_path / "invented.toml"
    file.write_text(policy_text().replace("\n", "\r\n") + "# von Hand geprüft\r\n", newline="")

    assert "invented: draft 1" in (await run("load", str(tmp_path), "--reason", "a new payer")).output
    assert "invented: new" in (await run("diff", str(file), status=1)).output
    assert "is published" in (await run("publish", "invented", "--reason", "checked")).output
    assert "invented: as in force" in (await run("diff", str(file))).output
    assert "in force already" in (await run("load", str(file), "--reason", "again")).output

    await run("export", str(tmp_path / "out"))
    assert (tmp_path / "out" / "invented.toml").read_bytes() == file.read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["invented.toml"]

    file.write_text(policy_text(days=25, version="2"))
    compared = (await run("diff", str(file), status=1)).output
    assert "clocks[Retroactive request].amount: 20 → 25" in compared
    assert "version: 1 → 2" in compared

    older = await run("load", str(file), "--reason", "five days more", "--publish", status=1)
    assert "the published version 1 by" in str(older.exception)
    assert "checked. The file may be older." in str(older.exception)
    assert len(await site.in_force()) == 1
    sent = await run("load", str(file), "--reason", "five days more", "--publish", "--based-on", "1")
    assert "version 2 (2) is published" in sent.output
    shown = (await run("show", "invented")).output
    assert "five days more" in shown
    assert "replaced by version 2" in shown
    assert (await run("show", "invented", "--number", "2")).stdout == file.read_text()
    await run("retire", "invented", "--reason", "it was wrong")
    assert await site.in_force() == []


async def test_a_pending_draft_is_taken_up_or_not_written_over(run: Run, tmp_path: Path):
    file = tmp_path / "invented.toml"
    file.write_text(policy_text())
    await run("load", str(file), "--reason", "a new payer")
    again = await run("load", str(file), "--reason", "a new payer")
    file.write_text(policy_text(days=25, version="2"))
    refused = await run("load", str(file), "--reason", "five days more", status=1)
    stale = await run("load", str(file), "--reason", "five days more", "--based-on", "0", status=1)
    taken = await run("load", str(file), "--reason", "five days more", "--based-on", "1")

    assert "invented: draft 1" in again.output
    assert "pending draft 1 by" in str(refused.exception)
    assert "yours is based on 0" in str(stale.exception)
    assert "invented: draft 2" in taken.output
    assert "version 2 (2) is published" in (await run("publish", "invented", "--reason", "checked")).output


async def test_a_file_replaces_what_others_published_by_force_and_with_a_reason_only(
    run: Run, tmp_path: Path
):
    file = tmp_path / "invented.toml"
    file.write_text(policy_text())
    await run("load", str(file), "--reason", "a new payer", "--publish")
    await run("retire", "invented", "--reason", "the page is gone")
    file.write_text(policy_text(days=25, version="2"))
    refused = await run("load", str(file), "--reason", "five days more", status=1)
    forced = await run("load", str(file), "--reason", "the page is back", "--force")

    assert "the retired version 1 by" in str(refused.exception)
    assert "the page is gone" in str(refused.exception)
    assert "--force" in str(refused.exception.remedy)
    assert "invented: draft 2" in forced.output
    assert "the page is back" in (await run("show", "invented")).output


def version(number: int, author: str, status: str = "draft") -> dict[str, object]:
    return {"number": number, "author": author, "status": status, "digest": "", "reason": "a page"}


def test_drafts_of_several_people_are_published_by_number_only():
    with pytest.raises(ConflictError, match="3 by Bob, 2 by Anna"):
        to_publish("invented", [version(3, "Bob"), version(2, "Anna"), version(1, "Bob", "published")])

    of_one = [version(3, "Bob"), version(2, "Bob"), version(1, "Anna", "published")]
    assert to_publish("invented", of_one) == 3
    # What is older than the version in force waits for nobody.
    assert (
        to_publish("invented", [version(3, "Bob"), version(2, "Eve", "published"), version(1, "Anna")]) == 3
    )


async def test_what_is_published_is_listed_beside_what_is_shipped(run: Run, tmp_path: Path):
    (tmp_path / "a.toml").write_text(policy_text())
    await run(
        "load", str(tmp_path), "--reason", "for everybody", "--publish", "--installation", role="operator"
    )
    listed = (await run("list", "--running")).output

    assert "invented" in listed
    assert "installation" in listed
    assert "shipped" in listed


async def test_a_file_with_a_mistake_is_not_sent(run: Run, site: Site, tmp_path: Path):
    (tmp_path / "a.toml").write_text(policy_text())
    (tmp_path / "b.toml").write_text(policy_text(id="other").replace('"calendar_days"', '"fortnights"'))
    result = await run("load", str(tmp_path), "--reason", "a new payer", status=1)

    assert "clocks[1].unit" in str(result.exception)
    assert (await site.call("GET", "/v1/policies/invented")).status_code == 404


async def test_a_simulation_prints_denials_dollars_and_deadlines(run: Run, site: Site, tmp_path: Path):
    await site.publish(policy_text())
    await site.triage.handle(*(recent(site, claim_number="SECRET") for _ in range(3)))
    (tmp_path / "a.toml").write_text(policy_text(days=15, version="2"))
    table = (await run("simulate", "--policies", str(tmp_path))).stdout
    found = (await run("simulate", "--policies", str(tmp_path), "--format", "json")).stdout.splitlines()

    assert "3 denials looked at; 3 of 3 claims would change, $750.00" in " ".join(table.split())
    assert "earlier" in table
    assert [json.loads(line)["kind"] for line in found] == ["changed"] * 3 + ["summary"]
    assert "SECRET" not in table + "".join(found)


async def test_coverage_is_printed_with_the_largest_payer_first(run: Run, site: Site):
    await site.publish(policy_text())
    await site.triage.handle(recent(site))
    table = (await run("coverage")).output
    (line,) = (await run("coverage", "--format", "json")).stdout.splitlines()

    assert "INVENTED HEALTH PLAN" in table
    assert "$250.00" in table
    assert json.loads(line)["standing"] == "unconfirmed"


def test_files_are_checked_one_by_one_too(tmp_path: Path):
    sound, wrong = tmp_path / "sound.toml", tmp_path / "wrong.toml"
    sound.write_text(policy_text())
    wrong.write_text(policy_text(id="other", deadline="2026-02-09").replace("Invented", "Other"))

    assert CliRunner().invoke(policies, ["check", str(sound)]).exit_code == 0
    failed = CliRunner().invoke(policies, ["check", str(sound), str(wrong)])
    assert failed.exit_code == 1
    assert "the deadline is" in failed.output


def test_differences_are_told_by_key_and_not_by_place_or_writing():
    before = policy_text()
    after = before.replace('name = "Invented Health Plan"', 'name = "Invented"  # shorter').replace(
        'status = "unconfirmed"\n', ""
    )

    assert [tuple(one) for one in differences(before.encode(), after.encode())] == [
        ("name", "Invented Health Plan", "Invented"),
        ("status", "unconfirmed", None),
    ]
    assert differences(before.encode(), before.replace("amount = 20", "amount  =  20  # days").encode()) == []
