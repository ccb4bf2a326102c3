"""The wiring of ingest: which path leads to which door. The only module that names Starlette's application."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.health import Health
from infra.topics import BODY_RECORDS_BYTES_MAX
from ingest.admission import KEY_IN_PATH, KEY_PREFIXES, Admission, Keys
from ingest.errors import IngestError, MethodNotAllowed, NotFound
from ingest.metrics import CONTENT_TYPE, DoorTally, Metrics
from ingest.publisher import Publisher
from ingest.routes.answers import send_answer, send_fault
from ingest.routes.door import Door
from ingest.routes.helicone import PROVIDERS, TYPED_LOG_PATH, LogDoor, TypedLogDoor
from ingest.routes.native import EventsDoor, SessionEndDoor
from ingest.routes.otlp import LOGS_PATH, NOT_OFFERED, TRACE_PATHS, LogsDoor, NotOfferedDoor, TracesDoor
from ingest.settings import IngestSettings

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

_PREFIXES = tuple(prefix.encode() for prefix in KEY_PREFIXES)
_ALLOWED_HEADERS = b"Content-Type, Content-Encoding, Authorization, Helicone-Auth, x-api-key"


def create_app(
    settings: IngestSettings,
    publisher: Publisher,
    keys: Keys,
    health: Health,
    metrics: Metrics,
    lifespan: Lifespan | None = None,
) -> ASGIApp:
    """The ASGI application. `lifespan` starts and stops what was passed in; the doors are added to the metrics."""
    admission = Admission(
        keys, reading_bytes_max=settings.reading_bytes_max, body_seconds_max=settings.body_seconds_max
    )
    metrics.add_queue("bodies", lambda: admission.reading_bytes, settings.reading_bytes_max)
    doors: dict[str, Door] = {
        "/v1/events": EventsDoor(admission, publisher, body_bytes_max=settings.native_body_bytes_max)
    }
    log_bytes_max = settings.helicone_body_bytes_max
    for path, provider in PROVIDERS.items():
        doors[path] = LogDoor(admission, publisher, provider=provider, body_bytes_max=log_bytes_max)
    doors[TYPED_LOG_PATH] = TypedLogDoor(admission, publisher, provider=None, body_bytes_max=log_bytes_max)
    session_end = SessionEndDoor(admission, publisher, body_bytes_max=log_bytes_max)
    doors.update(_otlp_doors(settings, admission, publisher))
    front = Front(doors, session_end, _health_app(health, metrics, lifespan))
    for door in (*doors.values(), session_end):
        metrics.add_door(door.name, door.tally)
    metrics.add_door("none", front.tally)
    return front


def _otlp_doors(settings: IngestSettings, admission: Admission, publisher: Publisher) -> dict[str, Door]:
    body_bytes_max = settings.otlp_body_bytes_max
    # What could never be in flight at once is too large, not to be sent again.
    records_bytes_max = min(BODY_RECORDS_BYTES_MAX, settings.in_flight_bytes_max)
    doors: dict[str, Door] = {
        path: TracesDoor(
            admission,
            publisher,
            body_bytes_max=body_bytes_max,
            records_bytes_max=records_bytes_max,
            default_encoding=default_encoding,
        )
        for path, default_encoding in TRACE_PATHS.items()
    }
    doors[LOGS_PATH] = LogsDoor(
        admission, publisher, body_bytes_max=body_bytes_max, records_bytes_max=records_bytes_max
    )
    for path, signal in NOT_OFFERED.items():
        doors[path] = NotOfferedDoor(admission, publisher, signal=signal)
    return doors


class Front:
    """Finds the door of a path: by one look-up for the exact path, else after tidying it up.

    Anything that is not a door's business (health, metrics, lifespan) goes to `rest`.
    """

    def __init__(self, doors: Mapping[str, Door], session_end: Door, rest: Starlette) -> None:
        self._doors = doors
        self._session_end = session_end
        self._rest = rest
        self.tally = DoorTally()
        self._rest_paths = {route.path for route in rest.routes if isinstance(route, Route)}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            if scope["method"] == "POST":
                door = self._doors.get(scope["path"])
                if door is not None:
                    return door(scope, receive, send)
            return self._tidy(scope, receive, send)
        return self._rest(scope, receive, send)

    async def _tidy(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Repeated slashes are one, and a key that stands first is a credential (ingest.md sections 1 and 2)."""
        segments = [segment for segment in scope["raw_path"].split(b"/") if segment]
        if segments and segments[0].startswith(_PREFIXES):
            scope[KEY_IN_PATH] = segments.pop(0).decode("latin-1")
        scope["raw_path"] = b"/" + b"/".join(segments)
        scope["path"] = scope["raw_path"].decode("latin-1")
        door = self._doors.get(scope["path"]) or self._session_door(segments)
        method = scope["method"]
        if door is None and scope["path"] not in self._rest_paths:
            await self._refuse(send, NotFound())
        elif method == "OPTIONS":
            await _send_options(scope, send)
        elif door is None and method in ("GET", "HEAD"):
            await self._rest(scope, receive, send)
        elif door is None:
            await self._refuse(send, MethodNotAllowed(allowed="GET, HEAD, OPTIONS"))
        elif method != "POST":
            await door.refuse(dict(scope["headers"]), send, MethodNotAllowed())
        else:
            await door(scope, receive, send)

    async def _refuse(self, send: Send, fault: IngestError) -> None:
        """Answer what is no door's business."""
        self.tally.refuse(fault.status, fault.code)
        await send_fault(send, fault)

    def _session_door(self, segments: list[bytes]) -> Door | None:
        is_end = len(segments) == 4 and segments[:2] == [b"v1", b"sessions"] and segments[3] == b"end"
        return self._session_end if is_end else None


async def _send_options(scope: Scope, send: Send) -> None:
    """Tell a browser what it may send: every `Helicone-*` header that it asks for."""
    asked = dict(scope["headers"]).get(b"access-control-request-headers", b"")
    helicone = [name.strip() for name in asked.split(b",") if name.strip().lower().startswith(b"helicone-")]
    headers = [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", b"POST, GET, PUT, DELETE"),
        (b"access-control-allow-headers", b", ".join([_ALLOWED_HEADERS, *helicone])),
    ]
    await send_answer(send, 200, headers, b"")


def _health_app(health: Health, metrics: Metrics, lifespan: Lifespan | None) -> Starlette:
    async def live(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def healthcheck(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def ready(request: Request) -> Response:
        healthy, report = await health.report()
        return JSONResponse(report, status_code=200 if healthy else 503)

    async def show_metrics(request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    routes = [
        Route("/livez", live),
        Route("/readyz", ready),
        Route("/healthcheck", healthcheck),
        Route("/metrics", show_metrics),
    ]
    return Starlette(routes=routes, lifespan=lifespan or _no_lifespan)


@asynccontextmanager
async def _no_lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
