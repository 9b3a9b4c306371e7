"""
Sample remittances: real payers' rules, invented people, and dates relative to the day of the first run.

In the *.835 files {D-12} stands for the date twelve days before that day, {d-12} for the same in six digits.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from shared import clock

# Days are counted where the payer is: just after midnight in UTC it is still yesterday there.
_PAYER_ZONE = ZoneInfo("America/Detroit")
_DATE = re.compile(rb"\{([Dd])-(\d+)\}")


def today() -> date:
    """Give the day on which samples that are sent now should say that they were made."""
    return clock.now().astimezone(_PAYER_ZONE).date()


def remittances(today: date) -> Iterator[tuple[str, bytes]]:
    """Give name and content of each sample as it would be sent on `today`."""

    def dated(found: re.Match[bytes]) -> bytes:
        day = today - timedelta(days=int(found[2]))
        return day.strftime("%Y%m%d" if found[1] == b"D" else "%y%m%d").encode()

    for path in sorted(Path(__file__).parent.glob("*.835")):
        yield path.name, _DATE.sub(dated, path.read_bytes())
