"""Run the query service: `python -m query [--fd N] [--check]`."""

import argparse
import signal
import socket
import sys
from types import FrameType

import asyncpg
import uvicorn
from pydantic import ValidationError

from infra.key_ring import KeyRing
from infra.key_snapshot import snapshot_file
from infra.postgres import make_pool
from infra.settings import LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from query.app import create_app
from query.settings import QuerySettings
from query.store import Store

CONNECTIONS_WAITING_MAX = 1_024
"""Backlog of the listening socket; beyond it the kernel refuses."""


def main() -> int:
    """Read the settings, then serve until SIGTERM or SIGINT. The exit code is 0 after a graceful stop."""
    parser = argparse.ArgumentParser(prog="python -m query", description="Answers questions about sessions.")
    parser.add_argument("--fd", type=int, help="serve this inherited listening socket instead of QUERY_PORT")
    parser.add_argument("--check", action="store_true", help="print the effective settings and exit")
    options = parser.parse_args()
    try:
        settings, local, postgres = QuerySettings(), LocalSettings(), PostgresSettings()
    except ValidationError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    if options.check:
        sys.stdout.write(settings.model_dump_json(indent=2) + "\n")
        return 0
    configure_logging("query")
    dsn = postgres.address(local)
    keys = KeyRing(dsn, application_name="pathline-query-keys", snapshot=snapshot_file(local.home, dsn))
    serve(settings, dsn, keys, options.fd)
    return 0


def serve(settings: QuerySettings, dsn: str, keys: KeyRing, fd: int | None) -> None:
    """Serve until a signal; questions under way are answered first, for at most `drain_seconds`."""
    listening = socket.socket(fileno=fd) if fd is not None else listen(settings.port)

    async def open_pool() -> asyncpg.Pool:
        return await make_pool(
            dsn,
            application_name="pathline-query",
            connections_max=settings.connections_max,
            statement_timeout_ms=settings.statement_timeout_ms,
        )

    store = Store(open_pool, connection_wait_seconds=settings.connection_wait_seconds)
    config = uvicorn.Config(
        create_app(store, keys),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        # Its loggers then write what `configure_logging` has set up.
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
        timeout_keep_alive=30,
    )
    # uvicorn stops gracefully, then raises the signal again for whoever handled it before: us, with exit code 0.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    uvicorn.Server(config).run(sockets=[listening])


def listen(port: int) -> socket.socket:
    """A loopback socket that listens on the port; `OSError` names the address when it is taken."""
    return socket.create_server(("127.0.0.1", port), backlog=CONNECTIONS_WAITING_MAX)


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
