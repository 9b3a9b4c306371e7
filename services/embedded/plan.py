"""Which processes run on one machine, and with which settings. Everything listens on the loopback address."""

from collections.abc import Mapping

from services.embedded.addresses import HOST
from services.embedded.children import Child
from services.embedded.folder import DataFolder, Secrets
from services.embedded.postgres import EmbeddedPostgres
from services.serve import PROCESSES

DATABASE = "reprieve"

# A quarter of what a partition of the in-memory broker keeps, so that what is in flight is never pushed out.
_WINDOW_BYTES = 1_250_000

# Data keys open only for these two; triage has no use for them.
_MASTER_KEY_HOLDERS = ("ingest", "tracker")


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
    ports: Mapping[str, int],
    log_level: str,
) -> list[Child]:
    """The processes of the three services."""
    return [
        Child(
            name=process,
            arguments=("services.cli", "serve", process),
            environment=_settings(process, folder, secrets, postgres, ports)
            | {"REPRIEVE_LOG_LEVEL": log_level},
            log=folder.logs / f"{process}.log",
            url=f"http://{HOST}:{ports[process]}",
        )
        for process in PROCESSES
    ]


def _settings(
    process: str, folder: DataFolder, secrets: Secrets, postgres: EmbeddedPostgres, ports: Mapping[str, int]
) -> dict[str, str]:
    service = process.partition("-")[0]
    settings = {
        "REPRIEVE_DATABASE_URL": postgres.url(f"reprieve_{service}", DATABASE, getattr(secrets, service)),
        "REPRIEVE_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{ports['broker']}",
        "REPRIEVE_KAFKA_WINDOW_BYTES": str(_WINDOW_BYTES),
        "REPRIEVE_HOST": HOST,
        "REPRIEVE_PORT": str(ports[process]),
    }
    if service in _MASTER_KEY_HOLDERS:
        settings["REPRIEVE_MASTER_KEY"] = secrets.master_key
    if service == "ingest":
        settings["REPRIEVE_RAW_DIR"] = str(folder.raw)
    return settings
