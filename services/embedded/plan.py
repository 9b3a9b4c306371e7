"""Which processes run on one machine, and with which settings. Everything listens on the loopback address."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from services.embedded.addresses import HOST
from services.embedded.children import Child
from services.embedded.folder import DataFolder, Secrets
from services.embedded.postgres import EmbeddedPostgres
from services.serve import PROCESSES

DATABASE = "reprieve"

# Bytes in flight per partition. The in-memory broker keeps about 5 MB of each: a quarter of it is never
# pushed out. A real one keeps all; what bounds it there is how much is sent again after a loss.
_EMBEDDED_WINDOW_BYTES = 1_250_000
_WINDOW_BYTES = 16 * 1024 * 1024

# Data keys open only for these two; triage has no use for them.
_MASTER_KEY_HOLDERS = ("ingest", "tracker")

# Whose metrics say how the pipeline is.
_WATCHED = ("ingest-worker", "triage-worker", "tracker-worker")


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where the broker is, and how many bytes a producer may have in flight per partition."""

    bootstrap_servers: str
    window_bytes: int

    @classmethod
    def embedded(cls, ports: Mapping[str, int]) -> "Kafka":
        return cls(f"{HOST}:{ports['broker']}", _EMBEDDED_WINDOW_BYTES)

    @classmethod
    def elsewhere(cls, bootstrap_servers: str) -> "Kafka":
        return cls(bootstrap_servers, _WINDOW_BYTES)


def broker_child(folder: DataFolder, *, ports: Mapping[str, int]) -> Child:
    """The in-memory broker, on a port of its own."""
    return Child(
        name="broker",
        arguments=("services.embedded.broker", "--port", str(ports["broker"])),
        environment={},
        log=folder.logs / "broker.log",
        url=f"{HOST}:{ports['broker']}",
    )


def service_children(
    folder: DataFolder,
    secrets: Secrets,
    postgres: EmbeddedPostgres,
    *,
    kafka: Kafka,
    ports: Mapping[str, int],
    log_level: str,
    metrics_key: str,
) -> list[Child]:
    """The processes of the three services. `metrics_key` is an operator's: the workers' metrics need one."""
    watching = {
        "REPRIEVE_ALERTS_METRICS_URLS": ",".join(f"http://{HOST}:{ports[one]}" for one in _WATCHED),
        "REPRIEVE_ALERTS_METRICS_KEY": metrics_key,
    }
    runbooks = {"REPRIEVE_ALERTS_RUNBOOKS_URL": f"http://{HOST}:{ports['tracker-api']}/runbooks/"}
    return [
        Child(
            name=process,
            arguments=("services.cli", "serve", process),
            environment=_settings(process, folder, secrets, postgres, kafka=kafka, port=ports[process])
            | {"REPRIEVE_LOG_LEVEL": log_level}
            | (runbooks if process in {"tracker-api", "tracker-alerts"} else {})
            | (_given_for_alerts() if process.startswith("tracker-") else {})
            | (watching if process == "tracker-alerts" else {}),
            log=folder.logs / f"{process}.log",
            url=f"http://{HOST}:{ports[process]}",
        )
        for process in PROCESSES
    ]


def _given_for_alerts() -> dict[str, str]:
    """What the caller's environment says about alerts: where they may go, what links stand in them."""
    return {name: value for name, value in os.environ.items() if name.startswith("REPRIEVE_ALERTS_")}


def _settings(
    process: str,
    folder: DataFolder,
    secrets: Secrets,
    postgres: EmbeddedPostgres,
    *,
    kafka: Kafka,
    port: int,
) -> dict[str, str]:
    service = process.partition("-")[0]
    settings = {
        "REPRIEVE_DATABASE_URL": postgres.url(f"reprieve_{service}", DATABASE, getattr(secrets, service)),
        "REPRIEVE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "REPRIEVE_KAFKA_WINDOW_BYTES": str(kafka.window_bytes),
        "REPRIEVE_HOST": HOST,
        "REPRIEVE_PORT": str(port),
    }
    if service in _MASTER_KEY_HOLDERS:
        settings["REPRIEVE_MASTER_KEY"] = secrets.master_key
    if service == "ingest":
        settings["REPRIEVE_RAW_DIR"] = str(folder.raw)
    if process == "tracker-api":
        settings["REPRIEVE_FILES_DIR"] = str(folder.files)
    if process == "ingest-worker":
        settings["REPRIEVE_DROP_DIR"] = str(folder.drop)
    return settings
