"""The one thread that takes events from the queue and brings them to the server."""

import itertools
import logging
import random
import threading
import time
from urllib.parse import quote

from pathline.buffer import Buffer
from pathline.counts import Counts
from pathline.limits import Limits
from pathline.losses import Line, Losses
from pathline.spill import Spill
from pathline.spiller import Spiller
from pathline.transport import Transport, Unreachable
from pathline.verdict import Accepted, Again, Refused, TooLarge, Verdict, verdict_of, wait_seconds

EVENTS = "/v1/events?results=errors"

logger = logging.getLogger("pathline")


class Abandoned(Exception):
    """The client is being closed, and there was no answer yet."""


class Sender:
    """Sends batch after batch, in the order logged; the next one waits until this one is settled.

    `start`, `stop` and `abandon_waiting` are called by other threads, everything else runs in the sender's own. Nothing
    that an event holds, and nothing that the server says, ends the thread. With a spill folder, its files are sent
    whenever no batch is due, and what is abandoned goes there.
    """

    def __init__(
        self, buffer: Buffer, counts: Counts, transport: Transport, limits: Limits, spill: Spill | None = None
    ) -> None:
        """Nothing runs yet."""
        self._buffer = buffer
        self._counts = counts
        self._losses = Losses(counts)
        self._transport = transport
        self._limits = limits
        self._spill = spill
        self._spiller = None if spill is None else Spiller(buffer, spill, counts, self._losses, limits)
        self._stopping = threading.Event()
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._thread = threading.Thread(target=self._run, name="pathline-sender", daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError when the process can start no thread, for instance while it ends."""
        self._thread.start()
        if self._spiller is not None:
            self._spiller.start()

    def stop(self, timeout_seconds: float) -> None:
        """End the threads; the attempt under way is broken off."""
        self._stopping.set()
        self._buffer.ring()
        if self._thread.is_alive():
            self._transport.interrupt()
            self._thread.join(timeout_seconds)
        if self._spiller is not None:
            self._spiller.stop(timeout_seconds)

    def abandon_waiting(self) -> None:
        """What still waits goes to disk or is dropped, and is counted."""
        while events := self._buffer.take(self._limits.batch_events_max, self._limits.batch_bytes_max):
            if self._spiller is None:
                self._losses.drop("shutdown_timeout", len(events))
            else:
                self._abandon(self._losses.lines(events))
            self._buffer.settle(events)

    def _abandon(self, lines: list[Line]) -> None:
        if self._spiller is None or not self._spiller.keep(lines):
            self._losses.drop("shutdown_timeout", len(lines))

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._buffer.is_due() and self._send_spilled():
                continue
            if self._await_batch():
                events = self._buffer.take(self._limits.batch_events_max, self._limits.batch_bytes_max)
                try:
                    self._deliver(self._losses.lines(events))
                finally:
                    self._buffer.settle(events)
        self._transport.close()

    def _send_spilled(self) -> bool:
        """Send the oldest file; False when there is none, or it cannot be read now."""
        try:
            if self._spill is None or (path := self._spill.oldest()) is None:
                return False
            lines, is_torn = self._spill.read(path)
        except OSError as fault:
            logger.warning("Events on disk cannot be read: %s", fault)
            return False
        try:
            self._send(lines)
        except Abandoned:
            return False
        if self._spill.remove(path) and is_torn:
            self._counts.torn()
        return True

    def _await_batch(self) -> bool:
        """Return when a batch is to be sent; False when the thread is to end."""
        since: float | None = None
        while not self._stopping.is_set():
            if self._buffer.is_due():
                return True
            if self._buffer.is_empty():
                since = None
                self._buffer.await_first()
                continue
            since = since or time.monotonic()
            left = since + self._limits.batch_age_seconds - time.monotonic()
            if left <= 0:
                return True
            self._buffer.await_batch(left)
        return False

    def _deliver(self, lines: list[Line]) -> None:
        """Send what was taken from the queue; every event of it is counted, or goes to disk."""
        try:
            self._send(lines)
        except Abandoned:
            self._abandon(lines)
        except Exception:
            self._losses.drop("rejected", len(lines), "client_fault")
            logger.exception("%d events were dropped because of a fault of this client", len(lines))

    def _send(self, lines: list[Line]) -> None:
        """Send events as batches and each end of a session on its own; what is done is removed from `lines`.

        Raises:
            Abandoned: the client is closed; what is left in `lines` may have arrived or not.
        """
        while lines:
            ended_session_id = lines[0].ended_session_id
            if ended_session_id is None:
                self._send_batches(lines)
            else:
                path = f"/v1/sessions/{quote(ended_session_id, safe='', errors='replace')}/end"
                self._conclude(self._settled(path, lines[0].text), 1)
                del lines[0]

    def _send_batches(self, lines: list[Line]) -> None:
        """Send the events before the first end of a session."""
        events_max = len(lines)
        while batch := _first(lines, events_max, self._limits.batch_bytes_max):
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
                    self._losses.drop("rejected", 1, code)
            case Refused("rejected", code):
                self._losses.drop("rejected", events, code)
            case Refused(reason, code):
                self._losses.drop(reason, events, code)
            case _:
                self._losses.drop("too_large", events, "the server takes no body of this length")


def _first(lines: list[Line], events_max: int, bytes_max: int) -> list[bytes]:
    """As many events as fit, at least one unless the end of a session comes first."""
    batch: list[bytes] = []
    nbytes = 0
    for text, ended_session_id in lines[:events_max]:
        nbytes += len(text)
        if ended_session_id is not None or (batch and nbytes > bytes_max):
            break
        batch.append(text)
    return batch
