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
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx2
import msgspec
import typer

from services.embedded import postgres as embedded_postgres
from services.embedded.addresses import HOST, choose_ports
from services.embedded.children import Child, keep_running, rotate, wait_for_leftovers
from services.embedded.demo import show_what_was_found
from services.embedded.first_run import prepare_database, prepare_site
from services.embedded.folder import DataFolder
from services.embedded.plan import DATABASE, broker_child, service_children
from services.embedded.up_file import Running, UpFile, read_up_file, write_up_file
from shared.errors import UnavailableError

_READY_SECONDS = 120
_PROBE_SECONDS = 0.2
_POSTGRES_WATCH_SECONDS = 2

# Rows written by the thousand: fewer checkpoints. The rest of PostgreSQL's defaults suit a laptop.
_POSTGRES_SETTINGS = {"max_wal_size": "2GB", "checkpoint_timeout": "15min"}


def up(
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".reprieve"),
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Push sample remittances and show what was found.")
    ] = False,
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
                _run(folder, tether=tether, demo=demo, log_level=log_level)
        except KeyboardInterrupt:
            _say("Stopped before it was ready; nothing is lost.")


def _run(folder: DataFolder, *, tether: int, demo: bool, log_level: str) -> None:
    last = read_up_file(folder.up_file)
    wait_for_leftovers(last.pids() if last else ())
    secrets = folder.secrets()
    _say(f"Starting in {folder.path} …")
    postgres = embedded_postgres.start(
        folder.pg,
        {"postgres": secrets.postgres, "reprieve_owner": secrets.owner},
        settings=_POSTGRES_SETTINGS,
    )
    guard = _guard_postgres(postgres.pgdata, tether)
    try:
        prepare_database(postgres, secrets)
        site = asyncio.run(prepare_site(postgres.url("reprieve_owner", DATABASE), secrets.master_key, last))
        ports = choose_ports(last.ports() if last else {})
        broker = broker_child(folder, ports=ports)
        services = service_children(folder, secrets, postgres, ports=ports, log_level=log_level)
        content = UpFile(
            ingest_url=f"http://{HOST}:{ports['ingest-api']}",
            triage_url=f"http://{HOST}:{ports['triage-api']}",
            tracker_url=f"http://{HOST}:{ports['tracker-api']}",
            kafka_bootstrap_servers=f"{HOST}:{ports['broker']}",
            admin_database_url=postgres.url("reprieve_owner", DATABASE),
            master_key=secrets.master_key,
            organization_id=site.organization_id,
            submitter_id=site.submitter_id,
            feed=site.feed,
            keys=site.keys,
            processes={"postgres-guard": Running(pid=guard.pid)},
            demo_pushed_on=last.demo_pushed_on if last else None,
        )
        stack = Stack(folder, postgres, broker, services, content)
        asyncio.run(stack.run(tether=tether, demo=demo))
    finally:
        postgres.stop()
        _say("Stopped.")


class Stack:
    """The processes while they run."""

    def __init__(
        self,
        folder: DataFolder,
        postgres: embedded_postgres.EmbeddedPostgres,
        broker: Child,
        services: list[Child],
        content: UpFile,
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.broker = broker
        self.services = services
        self.content = content

    async def run(self, *, tether: int, demo: bool) -> None:
        """Run until SIGINT or SIGTERM: services end first, then the broker; the database is the caller's."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        for child in (self.broker, *self.services):
            rotate(child.log)
        broker = asyncio.create_task(keep_running(self.broker, tether=tether, say=_say))
        services = [
            asyncio.create_task(keep_running(child, tether=tether, say=_say)) for child in self.services
        ]
        work = asyncio.create_task(self._work(demo=demo))
        watch = asyncio.create_task(self._keep_postgres_running())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, work, watch}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            _say("Stopping …")
            work.cancel()
            watch.cancel()
            for child in self.services:
                child.stop.set()
            await asyncio.gather(*services)
            self.broker.stop.set()
            await broker
            outcomes = await asyncio.gather(work, watch, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _work(self, *, demo: bool) -> None:
        """
        Wait until all answer, say so, show the demo; then wait for ever, so that only a failure ends
        this.
        """
        await self._until_ready()
        self._write()
        where = ", ".join(
            f"{child.name} {child.url}" for child in self.services if child.name.endswith("-api")
        )
        _say(f"reprieve is ready: {where}")
        if demo:
            self.content = await show_what_was_found(self.content, say=_say)
            self._write()
        await asyncio.Event().wait()

    async def _until_ready(self) -> None:
        waiting = list(self.services)
        try:
            async with httpx2.AsyncClient(timeout=5) as client, asyncio.timeout(_READY_SECONDS):
                while waiting := [  # noqa: ASYNC110  other processes set no event of ours
                    child for child in waiting if not await _answers(client, child)
                ]:
                    await asyncio.sleep(_PROBE_SECONDS)
        except TimeoutError:
            names = ", ".join(child.name for child in waiting)
            raise UnavailableError(
                f"Not ready after {_READY_SECONDS} s: {names}.",
                remedy=f"Their logs say why, first {waiting[0].log}.",
            ) from None

    def _write(self) -> None:
        children = {
            child.name: Running(pid=child.pid, url=child.url) for child in (self.broker, *self.services)
        }
        self.content = msgspec.structs.replace(self.content, processes={**self.content.processes, **children})
        write_up_file(self.folder.up_file, self.content)

    async def _keep_postgres_running(self) -> None:
        while True:
            await asyncio.sleep(_POSTGRES_WATCH_SECONDS)
            if await asyncio.to_thread(self.postgres.start_again):
                _say(f"PostgreSQL had died and runs again. See {self.postgres.pgdata / 'log'}.")


async def _answers(client: httpx2.AsyncClient, child: Child) -> bool:
    try:
        return (await client.get(f"{child.url}/readyz")).is_success
    except httpx2.HTTPError:
        return False


@contextmanager
def _tether() -> Iterator[int]:
    """
    Hold the end of a pipe that the children watch. It closes with this process, however this process
    ends.
    """
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


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()
