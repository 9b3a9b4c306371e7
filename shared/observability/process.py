"""How a process lives: one event loop, one stop event, one honest exit status."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import uvloop

from shared.errors import ReprieveError
from shared.observability.logging import configure_logging

log = structlog.get_logger()


def run(
    main: Callable[[asyncio.Event], Awaitable[None]], *, process: str, log_level: str | None = None
) -> None:
    """
    Run `main(stop)` until it returns.

    SIGTERM and SIGINT set `stop` once; a second signal ends the process at once with status 128 + signal.
    A ReprieveError is raised again after its log line, for the command line to explain; any other error
    exits with status 1. `log_level` defaults to REPRIEVE_LOG_LEVEL, else INFO.
    """
    configure_logging(process, log_level or os.environ.get("REPRIEVE_LOG_LEVEL", "INFO"))
    _keep_strays_quiet()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(main))
    except ReprieveError:
        log.exception("process_refused")
        raise
    except Exception as error:
        log.critical("process_crashed", exc_info=error)
        raise SystemExit(1) from None
    log.info("process_stopped")


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_stray)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, _stop_or_exit, stop, signal_number)
    log.info("process_started", pid=os.getpid())
    collect_seldom()
    await main(stop)


def collect_seldom() -> None:
    """
    Take what the start left behind out of the collector's sight, and let it look a hundredth as often.

    Batches make tens of thousands of values that refer to nothing in circles; counting references frees them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(70_000, 20, 50)


def _stop_or_exit(stop: asyncio.Event, signal_number: signal.Signals) -> None:
    if stop.is_set():
        log.warning("process_exits_hard", signal=signal_number.name)
        os._exit(128 + signal_number)
    log.info("process_stopping", signal=signal_number.name)
    stop.set()


def _keep_strays_quiet() -> None:
    """Log what Python itself would print, message and all: errors of threads and of destructors."""
    threading.excepthook = lambda args: log.error("stray_error", kind="thread", exc_info=args.exc_value)
    sys.unraisablehook = lambda args: log.error("stray_error", kind="unraisable", exc_info=args.exc_value)


def _log_stray(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nobody awaited; the loop's own text would carry its message."""
    log.error("stray_error", kind="task", exc_info=context.get("exception"))
