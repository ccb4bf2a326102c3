"""The client: what a program makes once, and logs to from anywhere."""

import atexit
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any, Unpack

from pathline.buffer import Buffer
from pathline.counts import Counts, Stats
from pathline.event import EventFields, Property
from pathline.identity import Identity, is_event_id
from pathline.limits import Limits
from pathline.sender import Sender
from pathline.session import Session, current_scope
from pathline.spill import Spill
from pathline.transport import Transport

STOP_SECONDS = 1.0
"""How long the sender may take to notice that its request was broken off."""

_DEFAULT_LIMITS = Limits()

_current = current_scope.get


class Client:
    """Takes events and sends them in the background.

    `log` never blocks and never raises. What it is given becomes JSON at once: change it afterwards as you like.
    The thread starts with the first event. After a fork the child begins with an empty queue, counters at zero and a
    thread of its own; what was queued is sent by the parent alone.
    """

    def __init__(
        self, url: str, api_key: str, *, limits: Limits = _DEFAULT_LIMITS, spill_folder: str | Path | None = None
    ) -> None:
        """Without a spill folder nothing is sent yet; with one, what an earlier process left there is.

        Raises:
            ValueError: the address or the key cannot be one.
            OSError: the spill folder cannot be made.
        """
        self._url, self._api_key, self._limits = url, api_key, limits
        self._spill = None if spill_folder is None else Spill(Path(spill_folder), limits.spill_bytes_max)
        self._closed = False
        self._begin()
        _clients.add(self)
        if self._spill is not None and self._spill.oldest() is not None:
            self._start()

    def _begin(self) -> None:
        """Everything that a forked child must not share with its parent."""
        self._new_id = Identity().new
        self._counts = Counts()
        self._buffer = Buffer(self._limits)
        self._offer = self._buffer.offer
        transport = Transport(self._url, self._api_key, self._limits)
        self._sender = Sender(self._buffer, self._counts, transport, self._limits, self._spill)
        self._starting = threading.RLock()
        self._started = False

    def log(self, *unexpected: object, **fields: Unpack[EventFields]) -> str | None:
        """Queue one event and give its id, or None when it was dropped (`stats` says why).

        Within a session and its steps, the session's id, name, user, properties and path are filled in where the call
        does not name them. Without times the event happened now.
        """
        if unexpected:
            self._counts.rejected("positional_argument")
            return None
        if not self._started or self._closed or "event_id" in fields or _current() is not None:
            return self.queue(fields)
        # The usual case of `queue` once more: the steps that it can do without are a tenth of a call.
        try:
            now = time()
            event_id = self._new_id(now)
            if self._offer(fields, event_id, now, None):  # type: ignore[arg-type]  # a TypedDict is a dict
                return event_id
            self._not_taken()
        except Exception:  # noqa: BLE001 - logging must not break what is logged
            self._counts.dropped("not_serialisable")
        return None

    def queue(self, fields: Mapping[str, Any], ended_session_id: str | None = None) -> str | None:
        """As `log`, for fields that are in a mapping already; the mapping is neither kept nor changed."""
        try:
            if self._closed:
                self._counts.dropped("closed")
                return None
            now = time()
            scope = _current()
            if scope is not None and scope.client is self and ended_session_id is None and "session_id" not in fields:
                fields = scope.completed(fields)
            event_id: str | None = fields.get("event_id")
            if event_id is None:
                event_id = self._new_id(now)
            elif not is_event_id(event_id):
                self._counts.rejected("invalid_id")
                return None
            if not self._offer(dict(fields), event_id, now, ended_session_id):
                self._not_taken()
                return None
            if not self._started:
                self._start()
        except Exception:  # noqa: BLE001 - logging must not break what is logged
            self._counts.dropped("not_serialisable")
            return None
        return event_id

    def _not_taken(self) -> None:
        if self._buffer.has_ended:
            # Another thread closed the client meanwhile, and its last look at the queue may be over.
            self._sender.abandon_waiting()
        else:
            self._counts.dropped("queue_full")

    def session(
        self,
        *,
        name: str | None = None,
        id: str | None = None,
        user_id: str | None = None,
        properties: Mapping[str, Property] | None = None,
    ) -> Session:
        """A session to be entered with `with` or `async with`; a new one unless an id is given."""
        session_id = str(id) if id else self._new_id(time())
        return Session(self, session_id, name=name, user_id=user_id, properties=properties)

    def stats(self) -> Stats:
        """What became of everything logged so far, in this process."""
        return self._counts.read(len(self._buffer), self._limits.queue_events_max)

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until everything logged before is sent, on disk or dropped; False when the time was over first."""
        return self._buffer.await_settled(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> bool:
        """Flush, then end; what still waits goes to disk, or is dropped as `shutdown_timeout`. Again: nothing happens.

        Returns at most a second after the time. Gives whether everything was settled in time.
        """
        if self._closed:
            return True
        self._closed = True
        settled = self._buffer.await_settled(timeout_seconds)
        self._sender.stop(STOP_SECONDS)
        self._buffer.end()
        self._sender.abandon_waiting()
        return settled

    def __enter__(self) -> "Client":
        """Itself; the block's end closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close with the usual time."""
        self.close()

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                self._started = True
                self._sender.start()

    def _exit(self) -> None:
        self.close(self._limits.exit_timeout_seconds)


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
"""Those that a fork or the end of the process concerns."""


def _begin_all() -> None:
    for client in list(_clients):
        client._begin()


def _exit_all() -> None:
    for client in list(_clients):
        client._exit()


os.register_at_fork(after_in_child=_begin_all)
atexit.register(_exit_all)
