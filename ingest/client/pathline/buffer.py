"""The bounded queue between those who log and the thread that sends."""

import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from pathline.event import line
from pathline.limits import Limits

EVENT_BYTES = 64
"""What an event takes in memory beside its own bytes."""

NEVER = sys.maxsize

FULL_FROM = 0.875
"""A share of the bytes: a queue that holds so much and had no room for an event is full for smaller ones too."""

SPILL_FROM_FULLNESS = 0.5
"""From here on events go to disk, if they may: early enough that the other half takes what is logged meanwhile."""


class Mark(NamedTuple):
    """Somebody wants to be woken when either is reached."""

    events: int
    nbytes: int


NOBODY = Mark(NEVER, NEVER)


class Buffer:
    """A queue with a bound in events and in bytes.

    `offer` takes no lock: it appends to a deque, which is one step of the interpreter, and may be called within a
    signal handler. So each thread that logs may go over the bounds by one event. What only the other side changes
    (`_taken`, `_bytes_out`) is changed under the lock; those who log add to `_bytes_in`, which is one step where there
    is a GIL and makes the bound in bytes an approximate one where there is none.
    """

    def __init__(self, limits: Limits) -> None:
        """Empty."""
        self._limits = limits
        self._events_room, self._bytes_max = limits.queue_events_max, limits.queue_bytes_max
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._spill_bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiting: deque[bytes] = deque()
        self._bytes_in = 0
        self._bytes_out = 0
        self._taken = 0
        """Events that were taken and are not settled: their room is not free yet."""
        self._taken_ever = 0
        self._settled = 0
        self._wanted = 0
        self._lock = threading.RLock()
        self._progress = threading.Condition(self._lock)
        self._for_sender, self._for_spiller = NOBODY, NOBODY
        self._ring_at_events = self._ring_at_bytes = NEVER
        self.has_ended = False

    def offer(self, fields: dict[str, Any], event_id: str, logged_at: float, ended_session_id: str | None) -> bool:
        """Append the fields as they are now, completed in place; False when there is no room, and after the end.

        Raises:
            NotSerialisable: a value has no JSON.
        """
        waiting = self._waiting
        if len(waiting) + self._taken >= self._events_room:
            return False
        taken_down = line(fields, event_id, logged_at, ended_session_id)
        nbytes = len(taken_down) + EVENT_BYTES
        held = self._bytes_in - self._bytes_out + nbytes
        if held > self._bytes_max:
            if held - nbytes > self._bytes_max * FULL_FROM:
                # Until there is room again nothing is copied only to be dropped.
                self._events_room = 0
            return False
        self._bytes_in += nbytes
        waiting.append(taken_down)
        return (len(waiting) < self._ring_at_events and held < self._ring_at_bytes) or self._wake(len(waiting), held)

    def _wake(self, events: int, nbytes: int) -> bool:
        """Ring for those whose mark is reached, once. False after the end."""
        with self._lock:
            if events >= self._for_sender.events or nbytes >= self._for_sender.nbytes:
                self._bell.put(None)
                self._for_sender = NOBODY
            if events >= self._for_spiller.events or nbytes >= self._for_spiller.nbytes:
                self._spill_bell.put(None)
                self._for_spiller = NOBODY
            self._set_marks()
            return not self.has_ended

    def end(self) -> None:
        """Nobody takes any more, but for one last time; who offers from now on looks after the event himself."""
        with self._lock:
            self.has_ended = True
            self._set_marks()

    def _set_marks(self, *, sender: Mark | None = None, spiller: Mark | None = None) -> None:
        with self._lock:
            self._for_sender, self._for_spiller = sender or self._for_sender, spiller or self._for_spiller
            self._ring_at_events = 0 if self.has_ended else min(self._for_sender.events, self._for_spiller.events)
            self._ring_at_bytes = min(self._for_sender.nbytes, self._for_spiller.nbytes)

    def take(self, events_max: int, bytes_max: int) -> list[bytes]:
        """The oldest events, up to either bound but at least one if there is any."""
        taken: list[bytes] = []
        nbytes = 0
        with self._lock:
            while self._waiting and len(taken) < events_max and nbytes < bytes_max:
                taken.append(self._waiting.popleft())
                nbytes += len(taken[-1])
            self._taken += len(taken)
            self._taken_ever += len(taken)
        return taken

    def settle(self, events: Sequence[bytes]) -> None:
        """Taken events are sent, spilled or dropped: their room is free again."""
        with self._progress:
            self._taken -= len(events)
            self._bytes_out += sum(len(event) + EVENT_BYTES for event in events)
            self._settled += len(events)
            self._events_room = self._limits.queue_events_max
            self._progress.notify_all()

    def put_back(self, events: Sequence[bytes]) -> None:
        """Taken events wait again, before all others."""
        with self._lock:
            self._waiting.extendleft(reversed(events))
            self._taken -= len(events)
            self._taken_ever -= len(events)

    def is_due(self) -> bool:
        """Whether a whole batch waits, or somebody waits for what is here."""
        return len(self._waiting) > 0 and (
            len(self._waiting) >= self._limits.batch_events_max
            or self._bytes_in - self._bytes_out >= self._limits.batch_bytes_max
            or self._settled < self._wanted
        )

    def __len__(self) -> int:
        """Events that are here, those of the batch under way included."""
        return self._taken + len(self._waiting)

    def is_filling(self) -> bool:
        """Whether so much waits that it should go to disk."""
        limits, held = self._limits, self._bytes_in - self._bytes_out
        return not self.is_empty() and (
            len(self) >= limits.queue_events_max * SPILL_FROM_FULLNESS
            or held >= limits.queue_bytes_max * SPILL_FROM_FULLNESS
        )

    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._waiting

    def ring(self) -> None:
        """Wake the sender and the spiller."""
        self._bell.put(None)
        self._spill_bell.put(None)

    def await_first(self) -> None:
        """Return when something waits, or when the bell was rung."""
        self._set_marks(sender=Mark(1, NEVER))
        if self.is_empty():
            _await_ring(self._bell, None)

    def await_batch(self, seconds: float) -> None:
        """Return when a batch is due, when the bell was rung, or when the time is over."""
        self._set_marks(sender=Mark(self._limits.batch_events_max, self._limits.batch_bytes_max))
        if not self.is_due():
            _await_ring(self._bell, max(seconds, 0))

    def await_filling(self) -> None:
        """Return when so much waits that it should go to disk, or when the bell was rung."""
        limits = self._limits
        events, nbytes = limits.queue_events_max * SPILL_FROM_FULLNESS, limits.queue_bytes_max * SPILL_FROM_FULLNESS
        # What was taken counts for the bound and not for the mark, so the mark is lower by as much.
        self._set_marks(spiller=Mark(max(int(events) - self._taken, 1), int(nbytes)))
        if not self.is_filling():
            _await_ring(self._spill_bell, None)

    def await_settled(self, timeout_seconds: float) -> bool:
        """Whether everything offered until now is settled within the time; the sender hurries meanwhile."""
        deadline = time.monotonic() + timeout_seconds
        with self._progress:
            wanted = self._wanted = self._taken_ever + len(self._waiting)
            self.ring()
            return self._progress.wait_for(lambda: self._settled >= wanted, deadline - time.monotonic())


def _await_ring(bell: "queue.SimpleQueue[None]", seconds: float | None) -> None:
    try:
        bell.get(timeout=seconds)
        while True:
            bell.get_nowait()
    except queue.Empty:
        return
