"""Ports that are still free when a process that was given one listens on it, seconds later."""

import itertools
import os
import random
import socket

_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
PORTS_FROM = 10_000 + 10_000 * (_NUMBER % 2)
"""Where those of this process of pytest begin: below those that the system gives to clients and to port 0."""

_OF_STACKS = 2_000  # tests.support.stack counts through these
_OURS = range(PORTS_FROM + _OF_STACKS, PORTS_FROM + 10_000)
_next = itertools.islice(itertools.cycle(_OURS), random.randrange(len(_OURS)), None)  # noqa: S311  another session begins elsewhere


def free_port() -> int:
    """Give a port that nobody listens on, and that no other test of these processes is given."""
    while True:
        port = next(_next)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
