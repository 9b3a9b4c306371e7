"""What is left of a file's limits."""

import time

from services.ingest.acknowledgments.verdicts import CutShort, Limits

_CLOCK_EVERY = 64  # segments between two looks at the processor's clock


class Budget:
    """One file's. `cut_short` is the first limit that was met; conformance is not looked at any more then."""

    def __init__(self, limits: Limits) -> None:
        self.cut_short: CutShort | None = None
        self.set_errors = limits.set_errors
        self._bytes = limits.conformance_bytes
        self._until = time.process_time() + limits.seconds
        self._errors = limits.file_errors
        self._listed = limits.sets
        self._listed_faulty = limits.sets
        self._to_clock = _CLOCK_EVERY

    def allows(self, length: int) -> bool:
        """Take a segment of so many bytes from the budget, unless that is spent."""
        if self.cut_short is not None:
            return False
        self._bytes -= length + 1
        self._to_clock -= 1
        if self._bytes < 0:
            self.cut_short = "size"
        elif self._to_clock <= 0:
            self._to_clock = _CLOCK_EVERY
            if time.process_time() > self._until:
                self.cut_short = "time"
        return self.cut_short is None

    def spend_error(self) -> None:
        self._errors -= 1
        if self._errors <= 0:
            self.cut_short = self.cut_short or "errors"

    def lists(self, *, faulty: bool) -> bool:
        """Take the listing of a set from the budget; faulty ones have a share behind the first."""
        if self._listed > 0:
            self._listed -= 1
            return True
        if faulty and self._listed_faulty > 0:
            self._listed_faulty -= 1
            return True
        self.cut_short = self.cut_short or "sets"
        return False
