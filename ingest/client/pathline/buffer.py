"""The bounded queue between those who log and the thread that sends."""

import queue
import threading
import time
from collections import deque

from pathline.event import Queued, Waiting
from pathline.limits import Limits


class Buffer:
    """A queue with a bound in events and in bytes.

    `offer` never waits longer than another thread needs to append, and may be called within a signal handler: the lock
    may be taken twice by one thread, and the bell's `put` is one step of the interpreter.
    """

    def __init__(self, limits: Limits) -> None:
        """Empty."""
        self._limits = limits
        self._lock = threading.RLock()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiting: deque[Queued] = deque()
        self._bytes = 0
        self._unsettled = 0
        self._offered = 0
        self._settled = 0
        self._wanted = 0
        self._closed = False
        self._progress = threading.Condition(threading.Lock())

    def offer(self, event: Queued) -> bool:
        """Append; False when there is no room. What was taken but not settled counts as being here."""
        limits = self._limits
        with self._lock:
            nbytes = self._bytes + event[3]
            unsettled = self._unsettled + 1
            if self._closed or unsettled > limits.queue_events_max or nbytes > limits.queue_bytes_max:
                return False
            waiting = self._waiting
            waiting.append(event)
            before, self._bytes, self._unsettled = self._bytes, nbytes, unsettled
            self._offered += 1
            count = len(waiting)
        if count == 1 or count == limits.batch_events_max or before < limits.batch_bytes_max <= nbytes:
            self._bell.put(None)
        return True

    def close(self) -> None:
        """Take nothing more; what is here stays until it is settled."""
        with self._lock:
            self._closed = True

    def take(self, events_max: int, bytes_max: int) -> list[Waiting]:
        """The oldest events, up to either bound but at least one if there is any."""
        taken: list[Waiting] = []
        nbytes = 0
        with self._lock:
            while self._waiting and len(taken) < events_max and nbytes < bytes_max:
                taken.append(Waiting(*self._waiting.popleft()))
                nbytes += taken[-1].approximate_bytes
        return taken

    def settle(self, events: list[Waiting]) -> None:
        """Taken events are sent or dropped: their room is free again."""
        with self._lock:
            self._unsettled -= len(events)
            self._bytes -= sum(event.approximate_bytes for event in events)
        with self._progress:
            self._settled += len(events)
            self._progress.notify_all()

    def is_due(self) -> bool:
        """Whether a whole batch waits, or somebody waits for what is here."""
        with self._lock:
            return len(self._waiting) > 0 and (
                len(self._waiting) >= self._limits.batch_events_max
                or self._bytes >= self._limits.batch_bytes_max
                or self._settled < self._wanted
            )

    def __len__(self) -> int:
        """Events that are here, those of the batch under way included."""
        return self._unsettled

    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._waiting

    def ring(self) -> None:
        """Wake the sender."""
        self._bell.put(None)

    def await_ring(self, seconds: float | None) -> None:
        """Return when the bell was rung since the last time, or when the time is over."""
        try:
            self._bell.get(timeout=None if seconds is None else max(seconds, 0))
            while True:
                self._bell.get_nowait()
        except queue.Empty:
            return

    def await_settled(self, timeout_seconds: float) -> bool:
        """Whether everything offered until now is settled within the time; the sender hurries meanwhile."""
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            wanted = self._wanted = self._offered
        self.ring()
        with self._progress:
            return self._progress.wait_for(lambda: self._settled >= wanted, deadline - time.monotonic())
