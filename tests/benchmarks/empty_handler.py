"""The ceiling of the doors, an empty Starlette handler: `python -m tests.benchmarks.empty_handler PORT`."""

import asyncio
import socket
import sys

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.server import BACKLOG_CONNECTIONS


async def nothing(request: Request) -> Response:
    """Answer without looking at the request."""
    return Response()


def config() -> uvicorn.Config:
    """The same options as `ingest.server` gives its own server."""
    return uvicorn.Config(
        Starlette(routes=[Route("/v1/events", nothing, methods=["POST"])]),
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
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )


def main() -> None:
    """Serve on the loopback port until a signal."""
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config()).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
