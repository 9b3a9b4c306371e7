"""
The program `reprieve`, as it is installed.

Until its command begins, Ctrl-C ends it at once and without a word: there is nothing to undo, and which of a
few hundred modules was being read is nobody's concern.
"""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Read the command line's modules, then run it."""
    interrupted = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from services import cli  # noqa: PLC0415  after the line above, which is what this module is for

    cli.main(begins=lambda: signal.signal(signal.SIGINT, interrupted))
