"""What is lost on the way out: counted, and said once for each reason."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from pathline.counts import Counts, Reason
from pathline.event import parted
from pathline.limits import EVENT_BYTES_MAX

logger = logging.getLogger("pathline")


class Line(NamedTuple):
    """One event as it is sent."""

    text: bytes
    """JSON."""
    ended_session_id: str | None
    """Set when it is a session's end."""


class Losses:
    """Counts what is dropped; the first time for each reason it says so in the program's log."""

    def __init__(self, counts: Counts) -> None:
        """Nothing is lost yet."""
        self._counts = counts

    def drop(self, reason: Reason, events: int, detail: str = "") -> None:
        """Count; `detail` is the server's code where the reason is `rejected`."""
        if not events:
            return
        counts = self._counts
        is_first = counts.rejected(detail, events) if reason == "rejected" else counts.dropped(reason, events)
        if is_first:
            logger.warning("Events are dropped: %s %s (said once; Client.stats() counts them)", reason, detail)

    def lines(self, taken: Sequence[bytes]) -> list[Line]:
        """The lines taken from the queue, without those that are longer than the server takes."""
        lines: list[Line] = []
        for one in taken:
            if len(one) > EVENT_BYTES_MAX:
                self.drop("too_large", 1, f"{len(one)} bytes")
            else:
                lines.append(Line(*parted(one)))
        return lines
