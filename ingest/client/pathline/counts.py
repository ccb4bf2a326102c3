"""What became of every event: counters that anyone may read at any time."""

import threading
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal[
    "queue_full",  # more was logged than could be sent; the newest events are the ones dropped
    "too_large",  # one event over what the server takes
    "rejected",  # the server found a fault in the event, or in the call of `log` itself; `rejections` says which
    "unauthorized",  # the key is unknown or may not write
    "not_serialisable",  # a value has no JSON
    "closed",  # logged after `close`
    "shutdown_timeout",  # still waiting when the time of `close` was over
]

CODES_MAX = 64
"""Codes come from the server; a broken one must not fill the memory."""


@dataclass(frozen=True)
class Stats:
    """The counters at one moment."""

    sent: int = 0
    """Events that the server has accepted, or says to have already."""
    retried: int = 0
    """Requests that were sent again."""
    spilled: int = 0
    """Events that were written to disk; `sent` counts them too once they are sent, by whichever process."""
    torn: int = 0
    """Files on disk whose end was missing; how many events that were, nobody knows."""
    queued: int = 0
    """Events that wait in memory, those of the request under way included."""
    queue_capacity: int = 0
    """Events that may wait."""
    dropped: dict[Reason, int] = field(default_factory=dict)
    """Events that are lost, by reason."""
    rejections: dict[str, int] = field(default_factory=dict)
    """The rejected ones by the server's stable code."""


class Counts:
    """The counters. Any thread may count, also within a signal handler."""

    def __init__(self) -> None:
        """All zero."""
        self._lock = threading.RLock()
        self._sent = self._retried = self._spilled = self._torn = 0
        self._dropped: dict[Reason, int] = {}
        self._rejections: dict[str, int] = {}

    def sent(self, events: int) -> None:
        """The server has them."""
        with self._lock:
            self._sent += events

    def retried(self) -> None:
        """One request goes out again."""
        with self._lock:
            self._retried += 1

    def spilled(self, events: int) -> None:
        """They are on disk."""
        with self._lock:
            self._spilled += events

    def torn(self) -> None:
        """A file's end was cut off."""
        with self._lock:
            self._torn += 1

    def dropped(self, reason: Reason, events: int = 1) -> bool:
        """They are lost. Gives whether they are the first for this reason."""
        with self._lock:
            before = self._dropped.get(reason, 0)
            self._dropped[reason] = before + events
            return before == 0

    def rejected(self, code: str, events: int = 1) -> bool:
        """The server refused them for good."""
        with self._lock:
            known = code if code in self._rejections or len(self._rejections) < CODES_MAX else "other"
            self._rejections[known] = self._rejections.get(known, 0) + events
            return self.dropped("rejected", events)

    def read(self, queued: int, capacity: int) -> Stats:
        """A copy that does not change."""
        with self._lock:
            return Stats(
                self._sent,
                self._retried,
                self._spilled,
                self._torn,
                queued,
                capacity,
                dict(self._dropped),
                dict(self._rejections),
            )
