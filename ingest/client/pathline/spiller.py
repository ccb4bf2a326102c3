"""The thread that brings events to disk when memory fills up, so that neither `log` nor the sender waits for a disk."""

import logging
import threading

from pathline.buffer import Buffer
from pathline.counts import Counts
from pathline.limits import Limits
from pathline.losses import Line, Losses
from pathline.spill import Spill

PAUSE_SECONDS = 1.0
"""After the folder was full, or the disk failed."""

logger = logging.getLogger("pathline")


class Spiller:
    """`start`, `stop` and `keep` are called by other threads, everything else runs in its own."""

    def __init__(self, buffer: Buffer, spill: Spill, counts: Counts, losses: Losses, limits: Limits) -> None:
        """Nothing runs yet."""
        self._buffer = buffer
        self._spill = spill
        self._counts = counts
        self._losses = losses
        self._limits = limits
        self._has_failed = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pathline-spiller", daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError when the process can start no thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End the thread after the file that it writes."""
        self._stopping.set()
        self._buffer.ring()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def keep(self, lines: list[Line]) -> bool:
        """Write them to disk; False when they are not there: no room, or a failure, which is said once."""
        if not lines:
            return True
        try:
            kept = self._spill.write(lines)
        except OSError as fault:
            if not self._has_failed:
                logger.warning("Events cannot be written to disk: %s (said once)", fault)
            self._has_failed = True
            return False
        if kept:
            self._counts.spilled(len(lines))
        return kept

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._buffer.await_filling()
            while self._buffer.is_filling() and not self._stopping.is_set():
                events = self._buffer.take(self._limits.batch_events_max, self._limits.batch_bytes_max)
                if self.keep(self._losses.lines(events)):
                    self._buffer.settle(events)
                else:
                    self._buffer.put_back(events)
                    self._stopping.wait(PAUSE_SECONDS)
