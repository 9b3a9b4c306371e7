"""The processes of one machine while they run: started, waited for, shown, and ended in the reverse order."""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import httpx2
import msgspec
import psutil
import typer

from services.embedded.children import Child, keep_running, rotate
from services.embedded.demo import open_feed, show_what_was_found
from services.embedded.folder import DataFolder
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.up_file import Running, UpFile, write_up_file
from shared.errors import UnavailableError

_READY_SECONDS = 120
_HOPELESS_DEATHS = 4  # who never came up and died this often will not come up
_PROBE_SECONDS = 0.2
_POSTGRES_WATCH_SECONDS = 2


@dataclass(slots=True)
class Stack:
    """
    `broker` is None where Kafka is somebody else's. `content` is what up.json tells. `ports_bound` is called
    when every process listens.
    """

    folder: DataFolder
    postgres: EmbeddedPostgres
    broker: Child | None
    services: list[Child]
    content: UpFile
    ports_bound: Callable[[], None]

    @property
    def children(self) -> list[Child]:
        return [*([self.broker] if self.broker else []), *self.services]

    async def run(self, *, tether: int, demo: bool) -> None:
        """Run until SIGINT or SIGTERM: services end first, then the broker; the database is the caller's."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        for child in self.children:
            rotate(child.log)
        running = [
            asyncio.create_task(keep_running(child, tether=tether, say=say, started_anew=self._write))
            for child in self.children
        ]
        work = asyncio.create_task(self._work(demo=demo))
        watch = asyncio.create_task(self._keep_postgres_running())
        stopping = asyncio.create_task(stop.wait())
        try:
            # None of the three ends by itself unless it fails.
            await asyncio.wait({stopping, work, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            say("Stopping …")
            work.cancel()
            watch.cancel()
            await _end(self.services, running[-len(self.services) :])
            await _end(self.children, running)
            outcomes = await asyncio.gather(work, watch, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _work(self, *, demo: bool) -> None:
        await self._until_ready()
        self.ports_bound()
        await open_feed(self.content)
        self.content = msgspec.structs.replace(self.content, starting=False)
        self._write()
        where = ", ".join(f"{child.name} {child.url}" for child in self.services if "-api" in child.name)
        say(f"reprieve is ready: {where}")
        if demo:
            self.content = await show_what_was_found(self.content, self.folder, say=say)
            self._write()
        await asyncio.Event().wait()

    async def _until_ready(self) -> None:
        waiting = list(self.services)
        deadline = monotonic() + _READY_SECONDS
        async with httpx2.AsyncClient(timeout=5) as client:
            while waiting := [child for child in waiting if not await _answers(client, child)]:
                if monotonic() > deadline or any(child.deaths >= _HOPELESS_DEATHS for child in waiting):
                    raise _not_ready(waiting)
                await asyncio.sleep(_PROBE_SECONDS)

    def _write(self) -> None:
        processes = {child.name: Running(pid=child.pid, url=child.url) for child in self.children}
        self.content = msgspec.structs.replace(
            self.content, processes={**self.content.processes, **processes}
        )
        write_up_file(self.folder.up_file, self.content)

    async def _keep_postgres_running(self) -> None:
        while True:
            await asyncio.sleep(_POSTGRES_WATCH_SECONDS)
            if await asyncio.to_thread(self.postgres.start_again):
                say(f"PostgreSQL had died and runs again. See {self.postgres.pgdata / 'log'}.")


async def _end(children: list[Child], running: list[asyncio.Task[None]]) -> None:
    for child in children:
        child.stop.set()
    await asyncio.gather(*running)


async def _answers(client: httpx2.AsyncClient, child: Child) -> bool:
    try:
        return (await client.get(f"{child.url}/readyz")).is_success and _listens(child)
    except httpx2.HTTPError:
        return False


def _listens(child: Child) -> bool:
    """Tell whether it was this child that answered, and not whoever was faster to take its port."""
    try:
        found = psutil.Process(child.pid).net_connections("inet") if child.pid else []
    except psutil.Error:
        return False
    port = httpx2.URL(child.url or "").port
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)


def _not_ready(waiting: list[Child]) -> UnavailableError:
    worst = max(waiting, key=lambda child: child.deaths)
    return UnavailableError(
        f"Not ready: {', '.join(child.name for child in waiting)}.", remedy=f"{worst.log} says why."
    )


def say(line: str) -> None:
    """Tell whoever watches, at once even where the output is a file."""
    typer.echo(line)
    sys.stdout.flush()
