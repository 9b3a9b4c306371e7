"""
Where the processes of one machine listen: where they did last time, else at the usual port, else
anywhere.
"""

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"

USUAL_PORTS = {
    "ingest-api": 8081,
    "triage-api": 8082,
    "tracker-api": 8083,
    "ingest-worker": 8091,
    "triage-worker": 8092,
    "tracker-worker": 8093,
    "tracker-alerts": 8103,
    "broker": 19092,
}


@contextmanager
def ports_to_choose(say: Callable[[str], None]) -> Iterator[None]:
    """
    Keep this person's other `reprieve up` from choosing ports meanwhile: what is chosen here and not bound
    yet looks free to it.
    """
    path = Path(tempfile.gettempdir()) / f"reprieve-ports-{os.getuid()}.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another `reprieve up` that is starting …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def choose_ports(last: Mapping[str, int], *, ports_from: int | None = None) -> dict[str, int]:
    """
    Give each process a port that is free now. `last` are those of the run before, by name.

    `ports_from`: where ports that follow one another begin, instead of the usual ones.
    """
    chosen: dict[str, int] = {}
    for number, (name, usual) in enumerate(USUAL_PORTS.items()):
        first = usual if ports_from is None else ports_from + number
        wanted = [port for port in (last.get(name), first) if port and port not in chosen.values()]
        chosen[name] = next((port for port in wanted if _is_free(port)), None) or _any_port(
            set(chosen.values())
        )
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _any_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
