"""Connections whose client says nothing, or says the head of its request too slowly, are closed.

The HTTP server itself has a time limit only between an answer and the next request. This one costs nothing on the way
of a request: once a second all connections are looked at.
"""

from collections.abc import Iterable
from typing import Any, Protocol

LOOK_SECONDS = 1.0
"""Between two looks; a look at 5,000 connections takes a few milliseconds."""


class Transport(Protocol):
    """What is needed of asyncio's."""

    def close(self) -> None:
        """Close once what was written is sent."""


class Connection(Protocol):
    """What is needed of `uvicorn.protocols.http.httptools_impl.HttpToolsProtocol`."""

    transport: Transport
    scope: Any
    """Made anew when a request begins to arrive; None before the first."""
    cycle: Any
    """The request that is answered or was answered last; its `response_complete` says which."""
    timeout_keep_alive_task: Any
    """Set between an answer and the first byte of the next request: then the server closes it itself."""


class SilentConnections:
    """Remembers since when each connection keeps us waiting."""

    def __init__(self, *, head_seconds_max: float, idle_seconds_max: float) -> None:
        self._head_seconds_max = head_seconds_max
        self._idle_seconds_max = idle_seconds_max
        #: Connection -> (the scope that it was waiting with, the time when that was first seen).
        self._waiting: dict[Connection, tuple[Any, float]] = {}

    def close_overdue(self, connections: Iterable[Connection], now: float) -> int:
        """Look at all connections; `now` is a monotonic time in seconds. Returns how many were closed."""
        waiting: dict[Connection, tuple[Any, float]] = {}
        closed = 0
        for connection in connections:
            if not _keeps_us_waiting(connection):
                continue
            scope = connection.scope
            before = self._waiting.get(connection)
            # Another scope is another request: it has its own time.
            since = before[1] if before is not None and before[0] is scope else now
            limit_seconds = self._idle_seconds_max if scope is None else self._head_seconds_max
            if now - since >= limit_seconds:
                connection.transport.close()
                closed += 1
            else:
                waiting[connection] = (scope, since)
        self._waiting = waiting
        return closed


def _keeps_us_waiting(connection: Connection) -> bool:
    """Whether nothing is being answered and the server's own timer does not run."""
    is_answering = connection.cycle is not None and not connection.cycle.response_complete
    return not is_answering and connection.timeout_keep_alive_task is None
