"""
Runs a module as a program that ends when its supervisor does, however that one ended.

    python -m services.embedded.tether FD MODULE [ARGUMENT…]

FD is the reading end of a pipe whose writing end only the supervisor holds. Nothing is ever written: reading
returns when the supervisor is gone, `kill -9` included, and then this process gets the SIGTERM that the
supervisor could not send.
"""

import os
import runpy
import signal
import sys
import threading
import time

_DRAIN_SECONDS = 10


def main() -> None:
    """Watch the pipe, and be the program that the arguments name."""
    descriptor, module, *arguments = sys.argv[1:]
    threading.Thread(target=_follow, args=(int(descriptor),), daemon=True, name="tether").start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _follow(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DRAIN_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
