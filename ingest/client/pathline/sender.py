"""The one thread that takes events from the queue and brings them to the server."""

import itertools
import logging
import random
import threading
import time
from urllib.parse import quote

from pathline.buffer import Buffer
from pathline.counts import Counts, Reason
from pathline.event import NotSerialisable, Waiting, encoded
from pathline.limits import EVENT_BYTES_MAX, Limits
from pathline.transport import Transport, Unreachable
from pathline.verdict import Accepted, Again, Refused, TooLarge, Verdict, verdict_of, wait_seconds

EVENTS = "/v1/events?results=errors"

logger = logging.getLogger("pathline")


class Abandoned(Exception):
    """The client is being closed, and there was no answer yet."""


class Sender:
    """Sends batch after batch, in the order logged; the next one waits until this one is settled.

    `start`, `stop` and `abandon_waiting` are called by other threads, everything else runs in the sender's own. Nothing
    that an event holds, and nothing that the server says, ends the thread.
    """

    def __init__(self, buffer: Buffer, counts: Counts, transport: Transport, limits: Limits) -> None:
        """Nothing runs yet."""
        self._buffer = buffer
        self._counts = counts
        self._transport = transport
        self._limits = limits
        self._stopping = threading.Event()
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._thread = threading.Thread(target=self._run, name="pathline-sender", daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError when the process can start no thread, for instance while it ends."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End the thread; the attempt under way is broken off."""
        self._stopping.set()
        self._buffer.ring()
        if self._thread.is_alive():
            self._transport.interrupt()
            self._thread.join(timeout_seconds)

    def abandon_waiting(self) -> None:
        """What still waits is dropped, and counted."""
        while events := self._buffer.take(self._limits.batch_events_max, self._limits.batch_bytes_max):
            self._drop("shutdown_timeout", len(events))
            self._buffer.settle(events)

    def _run(self) -> None:
        while self._await_batch():
            events = self._buffer.take(self._limits.batch_events_max, self._limits.batch_bytes_max)
            try:
                for ended_session_id, group in itertools.groupby(events, lambda event: event.ended_session_id):
                    self._deliver(list(group), ended_session_id)
            finally:
                self._buffer.settle(events)
        self._transport.close()

    def _await_batch(self) -> bool:
        """Return when a batch is to be sent; False when the thread is to end."""
        since: float | None = None
        while not self._stopping.is_set():
            if self._buffer.is_due():
                return True
            if self._buffer.is_empty():
                since = None
                self._buffer.await_ring(None)
                continue
            since = since or time.monotonic()
            left = since + self._limits.batch_age_seconds - time.monotonic()
            if left <= 0:
                return True
            self._buffer.await_ring(left)
        return False

    def _deliver(self, events: list[Waiting], ended_session_id: str | None) -> None:
        """Send events as batches, or ends of one session each on its own; every one of them is counted."""
        lines = self._encoded(events)
        try:
            if ended_session_id is None:
                self._send_batches(lines)
            while ended_session_id is not None and lines:
                path = f"/v1/sessions/{quote(ended_session_id, safe='', errors='replace')}/end"
                self._conclude(self._settled(path, lines[0]), 1)
                del lines[0]
        except Abandoned:
            self._drop("shutdown_timeout", len(lines))
        except Exception:
            self._drop("rejected", len(lines), "client_fault")
            logger.exception("%d events were dropped because of a fault of this client", len(lines))

    def _encoded(self, events: list[Waiting]) -> list[bytes]:
        lines: list[bytes] = []
        for event in events:
            try:
                line = encoded(event)
            except NotSerialisable as fault:
                self._drop("not_serialisable", 1, str(fault))
                continue
            if len(line) > EVENT_BYTES_MAX:
                self._drop("too_large", 1, f"{len(line)} bytes")
            else:
                lines.append(line)
        return lines

    def _send_batches(self, lines: list[bytes]) -> None:
        """Send all; what is done is removed from `lines`, so that the rest is known when this is broken off."""
        events_max = len(lines)
        while lines:
            batch = _first(lines, events_max, self._limits.batch_bytes_max)
            verdict = self._settled(EVENTS, b"[" + b",".join(batch) + b"]")
            if isinstance(verdict, TooLarge) and len(batch) > 1:
                events_max = len(batch) // 2
                continue
            self._conclude(verdict, len(batch))
            del lines[: len(batch)]

    def _settled(self, path: str, body: bytes) -> Verdict:
        """Send until the answer is final. Raises Abandoned when the client is closed before."""
        for attempt in itertools.count(1):
            try:
                verdict = verdict_of(self._transport.post(path, body), attempt)
            except Unreachable:
                verdict = Again()
            if not isinstance(verdict, Again):
                return verdict
            if self._stopping.wait(wait_seconds(attempt, verdict.after_seconds, self._limits, self._jitter)):
                break
            self._counts.retried()
        raise Abandoned

    def _conclude(self, verdict: Verdict, events: int) -> None:
        match verdict:
            case Accepted(rejected_codes):
                self._counts.sent(events - len(rejected_codes))
                for code in rejected_codes:
                    self._drop("rejected", 1, code)
            case Refused("rejected", code):
                self._drop("rejected", events, code)
            case Refused(reason, code):
                self._drop(reason, events, code)
            case _:
                self._drop("too_large", events, "the server takes no body of this length")

    def _drop(self, reason: Reason, events: int, detail: str = "") -> None:
        """Count; the first time for each reason, say so in the program's log."""
        if not events:
            return
        is_first = (
            self._counts.rejected(detail, events) if reason == "rejected" else self._counts.dropped(reason, events)
        )
        if is_first:
            logger.warning("Events are dropped: %s %s (said once; Client.stats() counts them)", reason, detail)


def _first(lines: list[bytes], events_max: int, bytes_max: int) -> list[bytes]:
    """As many as fit, at least one."""
    batch: list[bytes] = []
    nbytes = 0
    for line in lines[:events_max]:
        nbytes += len(line)
        if batch and nbytes > bytes_max:
            break
        batch.append(line)
    return batch
