"""The query service put together: routes, the shape of errors, CORS, paths as they were sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.key_ring import KeyRing
from query.answers import AS_OF_HEADER, json_response, refusal
from query.desk import Desk
from query.errors import NotFound, QueryError
from query.routes import health, helicone, native
from query.store import Store

ALLOWED_HEADERS = ("Content-Type", "Authorization", "Helicone-Auth", "Helicone-Authorization")
ALLOWED_METHODS = ("GET", "POST", "PUT", "DELETE")


class PathAsSent:
    """Routes by the path as it was sent: ids are decoded once, by the endpoint, and may hold `%2F`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path"):
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self.app(scope, receive, send)


def create_app(store: Store, keys: KeyRing) -> Starlette:
    """The ASGI application. Neither the store nor the keys need to be reachable yet."""
    desk = Desk(store, keys)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await keys.start()
        try:
            yield
        finally:
            await keys.stop()
            await store.close()

    return Starlette(
        routes=[*health.routes(desk), *helicone.routes(desk), *native.routes(desk)],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=ALLOWED_METHODS,
                allow_headers=ALLOWED_HEADERS,
                expose_headers=[AS_OF_HEADER],
            ),
            Middleware(PathAsSent),
        ],
        exception_handlers={QueryError: _refuse, HTTPException: _refuse_route, Exception: _fail},
        lifespan=lifespan,
    )


async def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, QueryError):
        raise error
    return refusal(error)


async def _refuse_route(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == NotFound.status:
        return refusal(NotFound())
    return json_response({"data": None, "error": error.detail}, status=error.status_code, headers=error.headers)


async def _fail(_: Request, __: Exception) -> Response:
    # Starlette raises it again after this answer, so the server logs it; nothing of it leaves.
    return json_response({"data": None, "error": "Internal Server Error"}, status=500)
