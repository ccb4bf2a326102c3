"""The HTTP server: uvicorn with a stop that loses no request, and connections that may not stay silent."""

import asyncio
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

import structlog
import uvicorn

from ingest.connections import LOOK_SECONDS, Connection, SilentConnections
from ingest.settings import IngestSettings

log = structlog.get_logger()

DRAIN_SECONDS = 1.0
"""How long a connection is kept at a stop for the request that may be on its way."""
DRAIN_LOOK_SECONDS = 0.05
BACKLOG_CONNECTIONS = 2048
"""Connections that wait to be accepted while the loop is busy."""
CONNECTIONS_MAX = 65_536
"""Open files that the process asks for: one a connection. Systems give 1,024 unasked."""


class Server(uvicorn.Server):
    """uvicorn that ends with exit code 0 after a stop, at once after a second signal, and drops silent connections."""

    def __init__(self, config: uvicorn.Config, silent: SilentConnections) -> None:
        super().__init__(config)
        self._silent = silent
        self._look_at = 0.0

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this ten times a second."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            # uvicorn's set holds protocols of the one class that `server_config` chose.
            connections = cast(set[Connection], self.server_state.connections)
            self._silent.close_overdue(list(connections), now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no further connection, and answer what comes over those that are open before they are closed.

        uvicorn closes a connection without a request at once: what a client has just sent over it would be lost.
        """
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        # Every answer to a request that comes from here on ends its connection.
        self.server_state.default_headers.append((b"connection", b"close"))
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            # First the sleep: a connection that was just accepted is not in the set yet.
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
            if not self.server_state.connections:
                break
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; whoever sends a second one does not want to wait."""
        if self.should_exit:
            os._exit(1)
        log.info("stopping", signal=signal.Signals(sig).name)
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, does not raise the signal again afterwards."""
        stops = (signal.SIGTERM, signal.SIGINT)
        before = {stop: signal.signal(stop, self.handle_exit) for stop in stops}
        try:
            yield
        finally:
            for stop, handler in before.items():
                signal.signal(stop, handler)


def server_config(settings: IngestSettings, app: object) -> uvicorn.Config:
    """What uvicorn is told: nothing is left to its defaults that costs on the way of a request."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # a plain callable that returns an awaitable: ASGI 3 all the same
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG_CONNECTIONS,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.stop_seconds_max - 2 - round(DRAIN_SECONDS),
    )


def open_listener(settings: IngestSettings, fd: int | None) -> socket.socket:
    """The listening socket: the inherited one, else one of our own.

    Raises:
        OSError: the address is taken, or none of this machine.
    """
    if fd is not None:
        return socket.socket(fileno=fd)
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    return listener


def raise_open_files() -> None:
    """Let the process have as many connections as the system allows, up to CONNECTIONS_MAX."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX if hard == resource.RLIM_INFINITY else min(hard, CONNECTIONS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
