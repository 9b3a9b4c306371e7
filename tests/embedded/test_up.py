"""The one-machine stack as a person runs it: started, used, ended, started again, killed."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from aiokafka import AIOKafkaProducer

from services.serve import PROCESSES
from services.tracker.alerts.domain.pipeline import Fact
from services.tracker.alerts.workers.watching import PipelineWatch
from shared import clock
from shared.security.administration import ROLES
from tests.support.stack import REPRIEVE, Up, machine_folder, wait_until

pytestmark = pytest.mark.slow

SAMPLES_DENIED = 7
SAMPLES_AUTHORIZATION = 4


def ask(up: Up, service: str, path: str, role: str, **params: Any) -> Any:
    answer = httpx2.get(
        up.up_file[f"{service}_url"] + path,
        params=params,
        headers={"Authorization": f"Bearer {up.up_file['keys'][role]}"},
        timeout=30,
    )
    assert answer.is_success, answer.text
    return answer.json()


def is_ready(url: str) -> bool:
    """Tell whether a process is; one whose database is away may also answer late, or be starting again."""
    try:
        return httpx2.get(f"{url}/readyz", timeout=10).is_success
    except httpx2.HTTPError:
        return False


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with machine_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Up]:
    up = Up(folder, "--demo")
    try:
        up.wait_until_ready()
        up.wait_for_line("Ctrl-C")
        yield up
    finally:
        up.end()


@pytest.fixture
def fresh() -> Iterator[Up]:
    with machine_folder() as folder:
        up = Up(folder)
        try:
            yield up.wait_until_ready()
        finally:
            up.end()


def test_the_page_says_what_was_found(demo: Up) -> None:
    page = "\n".join(demo.lines)

    assert f"{SAMPLES_DENIED} denials, {SAMPLES_AUTHORIZATION} about authorization" in page
    assert "next deadline in 3 days" in page
    assert page.count("curl ") == 3
    assert all(role in page for role in ("submitter", "biller", "operator"))


def test_what_the_page_says_to_try_works(demo: Up) -> None:
    commands = [line.strip() for line in demo.lines if line.strip().startswith("curl ")]

    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False, cwd=demo.folder.parent
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("{"), done.stdout
        assert "urn:reprieve:problem" not in done.stdout


def test_up_json_has_everything_that_scripts_need_and_is_private(demo: Up) -> None:
    content = demo.up_file

    assert (demo.folder / "up.json").stat().st_mode & 0o777 == 0o600
    assert content["keys"].keys() == set(ROLES)
    assert content["starting"] is False
    assert content["processes"].keys() == {*PROCESSES, "broker", "postgres-guard"}


def test_every_process_answers_its_probes(demo: Up) -> None:
    for process in PROCESSES:
        url = demo.up_file["processes"][process]["url"]
        for path, status in (("livez", 200), ("readyz", 200), ("metrics", 401)):
            assert httpx2.get(f"{url}/{path}", timeout=60).status_code == status, (process, path)


async def test_the_workers_metrics_say_how_the_pipeline_is(demo: Up) -> None:
    """The ones that tracker-alerts asks, with the addresses and the key that it was given."""
    given = psutil.Process(demo.pid("tracker-alerts")).environ()
    watch = PipelineWatch(
        given["REPRIEVE_ALERTS_METRICS_URLS"].split(","), given["REPRIEVE_ALERTS_METRICS_KEY"]
    )
    at = clock.now()
    known = {fact.kind for fact in await watch.facts(at) or ()}
    async with AIOKafkaProducer(bootstrap_servers=demo.up_file["kafka_bootstrap_servers"]) as producer:
        await producer.send_and_wait("claim-decisions", b"{}", key=b"k")
    deadline = time.monotonic() + 120
    dead: list[Fact] = []
    while not dead or "silent_feed" not in known:  # feeds are measured every 15 seconds
        assert time.monotonic() < deadline, f"dead letters: {dead}; {known}"
        at += timedelta(seconds=30)
        facts = await watch.facts(at) or ()
        known |= {fact.kind for fact in facts}
        dead = dead or [one for one in facts if one.kind == "dead_letters" and one.value]
        await asyncio.sleep(0.3)

    assert known >= {"silent_feed", "quarantined_claims", "unsettled_events", "consumer_lag"}
    assert dead[0].label.startswith("1 message of claim-decisions laid aside by ")


def test_the_link_in_a_message_leads_to_its_runbook(demo: Up) -> None:
    for process in ("tracker-alerts", "tracker-api"):
        given = psutil.Process(demo.pid(process)).environ()

        answer = httpx2.get(given["REPRIEVE_ALERTS_RUNBOOKS_URL"] + "clock.md", timeout=60)

        assert answer.text.startswith("# A deadline comes closer")


def test_nothing_listens_beyond_this_machine(demo: Up) -> None:
    for process in demo.everything():
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"


def test_every_column_of_the_reconciliation_agrees(demo: Up) -> None:
    assert demo.run("reconcile").returncode == 0


def test_the_command_line_lists_the_cases_and_shows_one(demo: Up) -> None:
    listed = demo.run("cases", "list", "--format", "json").stdout.splitlines()

    cases = ask(demo, "tracker", "/v1/cases", "biller")["data"]
    assert len(cases) == SAMPLES_DENIED
    assert len(listed) == sum(case["state"] not in {"reversed", "closed"} for case in cases)
    case_id = cases[0]["case_id"]
    assert case_id in demo.run("cases", "show", case_id, "--format", "json").stdout


def test_another_up_on_the_same_folder_is_refused(demo: Up) -> None:
    second = subprocess.run(
        [REPRIEVE, "up", "--data-dir", str(demo.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert second.returncode == 2
    assert str(demo.process.pid) in second.stderr
    assert "Traceback" not in second.stderr


def test_no_secret_is_in_a_log(demo: Up) -> None:
    secrets = [*demo.up_file["keys"].values(), demo.up_file["master_key"]]
    logs = "".join(path.read_text() for path in (demo.folder / "logs").iterdir())

    assert logs
    assert not [secret for secret in secrets if secret in logs]


def test_a_process_that_dies_is_started_again(demo: Up) -> None:
    url = demo.up_file["processes"]["triage-worker"]["url"]
    killed = demo.pid("triage-worker")
    psutil.Process(killed).kill()
    demo.wait_for_line("triage-worker ended", seconds=60)

    wait_until(lambda: is_ready(url), seconds=120, what="triage-worker answers again")
    assert demo.pid("triage-worker") != killed, "up.json names the processes that run"
    assert demo.run("reconcile").returncode == 0


def test_a_database_that_dies_is_started_again(demo: Up) -> None:
    psutil.Process(demo.postgres_pid()).kill()
    demo.wait_for_line("PostgreSQL had died", seconds=60)

    url = demo.up_file["tracker_url"]
    wait_until(lambda: is_ready(url), seconds=120, what="the tracker reaches the database again")
    assert demo.run("reconcile").returncode == 0


def test_sigterm_ends_everything_and_the_next_start_has_the_same_data(demo: Up, folder: Path) -> None:
    keys = demo.up_file["keys"]
    cases = ask(demo, "tracker", "/v1/cases", "biller", limit=100)["data"]
    # Broker, PostgreSQL and its guard beside them; an earlier test kills one, which is started again.
    wait_until(lambda: len(demo.everything()) == len(PROCESSES) + 3, seconds=60, what="all of them live")

    assert demo.end(signal.SIGTERM) == 0  # within the time that it has
    wait_until(lambda: not demo.everything(), seconds=30, what="every child has ended")

    again = Up(folder, "--demo")
    try:
        again.wait_until_ready()
        again.wait_for_line("Ctrl-C")
        assert again.up_file["keys"] == keys
        assert {
            case["case_id"] for case in ask(again, "tracker", "/v1/cases", "biller", limit=100)["data"]
        } == {case["case_id"] for case in cases}
        assert not [line for line in again.lines if line.startswith("Pushing")]
        assert again.run("reconcile").returncode == 0
    finally:
        assert again.end(signal.SIGINT) == 0


def test_when_the_supervisor_is_killed_the_rest_ends_by_itself_and_the_next_start_goes_on(fresh: Up) -> None:
    organization = fresh.up_file["organization_id"]
    fresh.process.kill()
    fresh.process.wait(10)
    # No waiting: whoever starts it again at once must not meet the dying ones.
    again = Up(fresh.folder)
    try:
        again.wait_until_ready()
        assert again.up_file["organization_id"] == organization
        wait_until(
            lambda: len(again.everything()) == len(PROCESSES) + 3, seconds=60, what="all of them live once"
        )
        again.process.kill()
        again.process.wait(10)
        wait_until(
            lambda: not again.everything(), seconds=60, what="the children of a killed supervisor are gone"
        )
    finally:
        again.end()


def test_after_a_power_cut_it_starts_again(fresh: Up) -> None:
    fresh.kill_everything()
    assert fresh.everything() == []

    again = Up(fresh.folder)
    try:
        again.wait_until_ready()
        assert again.run("reconcile").returncode == 0
    finally:
        assert again.end() == 0
