"""An ASGI middleware that logs each HTTP request of a web service as an event of its session."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pathline.client import Client
from pathline.limits import TEXT_BYTES_MAX
from pathline.session import STATUS_FAILED, Step

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

SESSION_HEADER = "pathline-session-id"


class SessionMiddleware:
    """Takes the session's id from a header, or begins a session, and says its id in the same header of the answer.

    Bodies pass by untouched and are not kept; queries are not logged, since they may hold secrets. The event lasts
    until the application returns, so a stream is logged when it ends. Only HTTP is logged.
    """

    def __init__(
        self, app: App, client: Client, *, session_name: str | None = None, session_header: str = SESSION_HEADER
    ) -> None:
        """Wrap `app`."""
        self._app = app
        self._client = client
        self._session_name = session_name
        self._header = session_header.lower().encode("latin-1")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Run the application within a step of the session."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        session = self._client.session(name=self._session_name, id=self._session_id(scope))
        step = session.step(path if path.startswith("/") else f"/{path}", kind="data", name=f"{method} {path}")
        step.request = {"method": method, "path": path}
        async with session, step:
            await self._app(scope, receive, self._noting(step, send))
            if step.status is None:
                step.status = STATUS_FAILED
                step.error = {"type": "NoResponse", "message": "The application returned without an answer"}

    def _session_id(self, scope: Message) -> str | None:
        for name, value in scope.get("headers", ()):
            if name.lower() == self._header and 0 < len(value) <= TEXT_BYTES_MAX:
                text: str = value.decode("utf-8", "replace").strip()
                return text if len(text.encode()) <= TEXT_BYTES_MAX else None
        return None

    def _noting(self, step: Step, send: Send) -> Send:
        """`send`, with a look at what passes."""
        body_bytes = 0

        async def noting(message: Message) -> None:
            nonlocal body_bytes
            if message["type"] == "http.response.start":
                step.status = message["status"]
                sent_id = step.session.id.encode("utf-8")
                message = {**message, "headers": [*message.get("headers", ()), (self._header, sent_id)]}
            elif message["type"] == "http.response.body":
                body_bytes += len(message.get("body", b""))
            step.response = {"status": step.status, "body_bytes": body_bytes}
            await send(message)

        return noting
