"""What operators see of a running worker: `/livez`, `/readyz` and `/metrics`, answered by the loop that does the work.

The same loop on purpose: a loop that is blocked, or a process that is frozen, does not answer, and whoever asks
(the supervisor of `make run`, Kubernetes) replaces it.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.health import Health
from processors.metrics import CONTENT_TYPE, HasConsume, Metrics

log = structlog.get_logger()

STALLED_SECONDS_MAX = 30.0
"""A loop that had something to do and did not move for so long does not move any more. A batch takes seconds."""


class HotPath(HasConsume, Protocol):
    """A stream of the worker, as far as its health goes."""

    @property
    def waits_for(self) -> str | None:
        """What is missing before its loop can begin."""


class Server(uvicorn.Server):
    """uvicorn beside other services: the signals are theirs."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def make_server(paths: Sequence[HotPath]) -> Server:
    """The server; not running yet."""
    config = uvicorn.Config(
        make_app(paths), http="httptools", ws="none", lifespan="off", access_log=False, log_config=None,
        server_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return Server(config)


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that listens there; the log says where.

    Raises:
        OSError: the address is taken, or none of this machine.
    """
    listener = socket.create_server((host, port))
    log.info("listening", address=listener.getsockname())
    return listener


def make_app(paths: Sequence[HotPath]) -> Starlette:
    """The three answers."""
    metrics, health = Metrics(paths), make_health(paths)

    async def livez(_: Request) -> Response:
        stalled = {path.topic: seconds for path in paths if (seconds := stalled_seconds(path)) > STALLED_SECONDS_MAX}
        return JSONResponse({"stalled_seconds": stalled}, 503 if stalled else 200)

    async def readyz(_: Request) -> Response:
        of_use, answer = await health.report()
        return JSONResponse(answer, 200 if of_use else 503)

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    routes = {"/livez": livez, "/readyz": readyz, "/metrics": show_metrics}
    return Starlette(routes=[Route(path, answer) for path, answer in routes.items()])


def stalled_seconds(path: HotPath) -> float:
    """How long a loop had something to do and did not move."""
    return 0.0 if path.consume is None else path.consume.progress.heart.stalled_seconds


def make_health(paths: Sequence[HotPath]) -> Health:
    """One check for each stream."""
    health = Health()
    for path in paths:

        async def check(path: HotPath = path) -> str | None:
            return trouble_of(path)

        health.add(path.topic, check)
    return health


def trouble_of(path: HotPath) -> str | None:
    """Why a stream is not folded now, in a few words; None when it is."""
    if path.consume is None:
        return path.waits_for or "connecting"
    if (why := path.consume.progress.generation_stopped) is not None:
        return f"stopped until `python -m processors resume`: {why}"
    stopped = path.consume.progress.stopped
    if stopped:
        return "; ".join(f"partition {number} is stopped: {reason}" for number, reason in sorted(stopped.items()))
    if path.consume.trouble is not None:
        return path.consume.trouble
    return None if path.consume.has_joined else "not in its group yet"
