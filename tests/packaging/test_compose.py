"""The compose file and the image, as far as they can be judged without an engine."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli import COMMANDS
from services.embedded.up import _POSTGRES_SETTINGS
from services.serve import PROCESSES
from shared.security.api_keys import read_api_key

PROJECT = Path(__file__).parents[2]
JOBS = {"migrate", "topics"}
ON_DEMAND = {"admin"}  # runs only when somebody calls it
ENGINES = {"kafka", "postgres"}
BUILT_BY_US = JOBS | ON_DEMAND | set(PROCESSES)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def names_in_code() -> set[str]:
    """Every REPRIEVE_* that some settings model or command reads."""
    found: set[str] = set()
    for path in [*(PROJECT / "services").rglob("*.py"), *(PROJECT / "shared").rglob("*.py")]:
        text = path.read_text()
        found |= set(re.findall(r"REPRIEVE_[A-Z_]+", text))
        found |= {f"REPRIEVE_{name}_URL" for name in ("INGEST", "TRIAGE", "TRACKER")}  # shared/http/client.py
        if 'env_prefix="REPRIEVE_"' in text:
            found |= {
                f"REPRIEVE_{name.upper()}"
                for name in re.findall(r"^    ([a-z_]+):", text, flags=re.MULTILINE)
            }
    return found


def test_every_process_of_the_command_line_is_there_and_nothing_else(services: dict[str, Any]) -> None:
    assert services.keys() == ENGINES | BUILT_BY_US


def test_everything_but_the_jobs_has_a_health_check(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in JOBS | ON_DEMAND:
            assert service["restart"] == "no", name
        else:
            assert service["healthcheck"]["test"], name


def test_ports_are_published_on_the_loopback_address_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert len(ports) == len(PROCESSES) + len(ENGINES)
    assert len({port.split(":")[1] for port in ports}) == len(ports)
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", sorted(BUILT_BY_US))
def test_commands_exist_in_the_command_line(services: dict[str, Any], name: str) -> None:
    command = services[name]["command"]

    assert command[0] in {one.name for one in COMMANDS} | {"--help"}
    if command[0] == "serve":
        assert command[1:] == [name]


@pytest.mark.parametrize("name", sorted(BUILT_BY_US))
def test_settings_that_are_given_are_read_somewhere(services: dict[str, Any], name: str) -> None:
    assert set(services[name]["environment"]) <= names_in_code()


def test_only_ingest_and_tracker_hold_the_master_key(services: dict[str, Any]) -> None:
    holders = {name for name, one in services.items() if "REPRIEVE_MASTER_KEY" in one.get("environment", {})}

    assert (
        holders
        == {"ingest-api", "ingest-worker", "tracker-api", "tracker-worker", "tracker-alerts"} | ON_DEMAND
    )


def test_processes_wait_for_the_jobs_and_jobs_for_the_engines(services: dict[str, Any]) -> None:
    for name in PROCESSES:
        waits = services[name]["depends_on"]
        assert all(waits[job]["condition"] == "service_completed_successfully" for job in JOBS)
        assert all(waits[engine]["condition"] == "service_healthy" for engine in ENGINES)
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}


def test_what_runs_on_demand_starts_with_nobody_else(services: dict[str, Any]) -> None:
    assert {name for name, one in services.items() if one.get("profiles")} == ON_DEMAND


def test_processes_run_read_only_without_capabilities(services: dict[str, Any]) -> None:
    for name in BUILT_BY_US:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_the_api_and_the_worker_of_ingest_see_the_same_raw_files(services: dict[str, Any]) -> None:
    assert services["ingest-api"]["volumes"] == ["raw:/var/lib/reprieve"]
    assert services["ingest-worker"]["volumes"] == ["raw:/var/lib/reprieve", "drop:/var/lib/drop"]


def test_files_of_cases_outlive_their_process(services: dict[str, Any], compose: dict[str, Any]) -> None:
    place = services["tracker-api"]["environment"]["REPRIEVE_FILES_DIR"]

    assert services["tracker-api"]["volumes"] == [f"files:{place}"]
    assert "files" in compose["volumes"]
    # A fresh volume takes over what the image has there, and with it whose it is.
    assert f"--owner reprieve --group reprieve --mode 0700 {place}" in (PROJECT / "Dockerfile").read_text()


def test_no_secret_stands_in_the_file_and_every_one_is_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", (PROJECT / "docker-compose.yml").read_text()))
    example = (PROJECT / "deploy" / "compose.env.example").read_text()
    offered = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, flags=re.MULTILINE))

    # An installation from before has none, and its alerts say nothing of the pipeline.
    assert wanted | {"REPRIEVE_ALERTS_METRICS_KEY"} == offered.keys()
    assert set(offered.values()) == {""}


def test_make_env_fills_in_every_secret_and_never_overwrites(tmp_path: Path) -> None:
    script = ["python3", str(PROJECT / "deploy" / "make_env.py")]
    subprocess.run(script, cwd=tmp_path, check=True)
    first = (tmp_path / ".env").read_text()
    again = subprocess.run(script, cwd=tmp_path, capture_output=True, check=False)

    assert re.findall(r"^\w+=$", first, flags=re.MULTILINE) == []
    read_api_key(re.findall(r"^REPRIEVE_ALERTS_METRICS_KEY=(.*)$", first, flags=re.MULTILINE)[0])
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert again.returncode != 0
    assert (tmp_path / ".env").read_text() == first


def test_the_image_runs_as_nobody_special_from_the_server_lock() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()

    assert re.search(r"^USER (\d+):\1$", dockerfile, flags=re.MULTILINE)
    assert "--require-hashes -r locks/server.txt" in dockerfile
    assert "HEALTHCHECK" in dockerfile
    assert "embedded.txt" not in dockerfile


def test_docker_itself_accepts_the_compose_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if (
        not docker
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not here")
    subprocess.run(["python3", str(PROJECT / "deploy" / "make_env.py")], cwd=tmp_path, check=True)

    subprocess.run(
        [docker, "compose", "--project-directory", str(PROJECT), "--env-file", str(tmp_path / ".env"),
         "-f", str(PROJECT / "docker-compose.yml"), "config", "--quiet"],
        check=True,
    )  # fmt: skip


def test_no_postgres_writes_the_row_that_failed_into_its_log(services: dict[str, Any]):
    assert "log_error_verbosity=terse" in services["postgres"]["command"]
    assert _POSTGRES_SETTINGS["log_error_verbosity"] == "terse"
