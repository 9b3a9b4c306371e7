"""
`reprieve up`: PostgreSQL, a broker and the three services on this machine, from one command.

Started in the order in which they need one another, ended in the reverse one. What is kept lies in the data
folder: running it again, after a Ctrl-C or after `kill -9`, goes on where it was.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from services.embedded import postgres as embedded_postgres
from services.embedded.addresses import HOST, choose_ports, ports_to_choose
from services.embedded.children import wait_for_leftovers
from services.embedded.first_run import prepare_database, prepare_site
from services.embedded.folder import DataFolder
from services.embedded.plan import DATABASE, Kafka, broker_child, service_children
from services.embedded.stack import Stack, say
from services.embedded.up_file import Running, UpFile, read_up_file, write_up_file
from shared.kafka.topics import create_topics

# Rows come by the thousand, minutes after the tables were empty: statistics that are a minute old make the
# planner read whole tables. Fewer checkpoints. The rest of PostgreSQL's defaults suit a laptop.
# Its log is terse: the detail of an error is the row that failed, and a row may name a claim.
_POSTGRES_SETTINGS = {
    "autovacuum_naptime": "10s",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "log_error_verbosity": "terse",
}


def up(
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".reprieve"),
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Push sample remittances and show what was found.")
    ] = False,
    kafka: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Use this Kafka instead of the embedded broker."),
    ] = None,
    ports_from: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1024,
            max=65000,
            help="Listen on PORT and the ones after it, where 8081 to 8103 are another's.",
        ),
    ] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """
    Start everything on this machine: database, broker, the three services. Ctrl-C stops it; the data stays.

    Prints a line with `ready` when everything answers. Addresses and development keys are then in
    DATA_DIR/up.json. Nothing listens beyond this machine.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = DataFolder.at(data_dir)
    with folder.held():
        try:
            with _tether() as tether:
                _run(
                    folder,
                    tether=tether,
                    demo=demo,
                    kafka=kafka,
                    ports_from=ports_from,
                    log_level=log_level,
                )
        except KeyboardInterrupt:
            say("Stopped before it was ready; nothing is lost.")


def _run(
    folder: DataFolder,
    *,
    tether: int,
    demo: bool,
    kafka: str | None,
    ports_from: int | None,
    log_level: str,
) -> None:
    last = read_up_file(folder.up_file)
    if last:
        write_up_file(folder.up_file, msgspec.structs.replace(last, starting=True))
    wait_for_leftovers(last.pids() if last else ())
    secrets = folder.secrets()
    say(f"Starting in {folder.path} …")
    postgres = embedded_postgres.start(
        folder.pg,
        {"postgres": secrets.postgres, "reprieve_owner": secrets.owner},
        settings=_POSTGRES_SETTINGS,
    )
    guard = _guard_postgres(postgres.pgdata, tether)
    choosing = ExitStack()
    try:
        owner_url = postgres.url("reprieve_owner", DATABASE)
        prepare_database(postgres, secrets)
        site = asyncio.run(prepare_site(owner_url, secrets.master_key, last))
        choosing.enter_context(ports_to_choose(say))
        ports = choose_ports(last.ports() if last else {}, ports_from=ports_from)
        used = Kafka.elsewhere(kafka) if kafka else Kafka.embedded(ports)
        content = UpFile(
            ingest_url=f"http://{HOST}:{ports['ingest-api']}",
            triage_url=f"http://{HOST}:{ports['triage-api']}",
            tracker_url=f"http://{HOST}:{ports['tracker-api']}",
            kafka_bootstrap_servers=used.bootstrap_servers,
            admin_database_url=owner_url,
            master_key=secrets.master_key,
            organization_id=site.organization_id,
            submitter_id=site.submitter_id,
            feed=site.feed,
            keys=site.keys,
            processes={"postgres-guard": Running(pid=guard.pid)},
            demo_pushed_on=last.demo_pushed_on if last else None,
            starting=True,
        )
        if kafka:
            asyncio.run(create_topics(kafka))
        write_up_file(folder.up_file, content)  # the keys are known nowhere else
        stack = Stack(
            folder=folder,
            postgres=postgres,
            broker=None if kafka else broker_child(folder, ports=ports),
            services=service_children(
                folder,
                secrets,
                postgres,
                kafka=used,
                ports=ports,
                log_level=log_level,
                metrics_key=site.keys["operator"],
            ),
            content=content,
            ports_bound=choosing.close,
        )
        asyncio.run(stack.run(tether=tether, demo=demo))
    finally:
        choosing.close()
        postgres.stop()
        say("Stopped.")


@contextmanager
def _tether() -> Iterator[int]:
    """Hold the end of a pipe that the children watch. It closes with this process, however that ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def _guard_postgres(pgdata: Path, tether: int) -> subprocess.Popen[bytes]:
    """Start the process that stops PostgreSQL when we cannot."""
    return subprocess.Popen(  # noqa: S603  our own module
        [sys.executable, "-P", "-m", "services.embedded.guard", str(tether), str(pgdata)],
        pass_fds=(tether,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
