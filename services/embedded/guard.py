"""
Stops PostgreSQL after its supervisor is gone: `python -m services.embedded.guard FD PGDATA`.

The server runs on its own, as another user where we are root, so it cannot watch the pipe itself.
"""

import os
import signal
import sys
from pathlib import Path

import psutil

from services.embedded.postgres import running_server

_STOP_SECONDS = 20


def main() -> None:
    """Wait until nobody holds the other end of the pipe, then ask the server to stop."""
    descriptor, pgdata = sys.argv[1:]
    os.read(int(descriptor), 1)
    server = running_server(Path(pgdata))
    if server is not None:
        server.send_signal(signal.SIGINT)  # its fast shutdown: open work is rolled back, committed work stays
        psutil.wait_procs([server], timeout=_STOP_SECONDS)


if __name__ == "__main__":
    main()
