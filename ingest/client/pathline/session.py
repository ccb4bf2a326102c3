"""Sessions and their steps, for synchronous and asynchronous code alike.

What a block is part of lies in a context variable, so threads, tasks and nested calls each see their own.
"""

import asyncio
import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from pathline.event import Fault, Kind, Property
from pathline.limits import ERROR_MESSAGE_CHARS_MAX

STATUS_CANCELLED = -3
STATUS_FAILED = 500


class EventQueue(Protocol):
    """What a session needs of the client."""

    def queue(self, fields: Mapping[str, Any], ended_session_id: str | None = None) -> str | None:
        """Queue one event or a session's end; never raises."""


class _Scope:
    """What a `with` block makes current, and takes back at its end."""

    def __init__(self) -> None:
        self._token: Token[Session | Step | None] | None = None
        self._outer: Session | Step | None = None

    def _enter(self, scope: "Session | Step") -> None:
        self._outer = current_scope.get()
        self._token = current_scope.set(scope)

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is None:
            return
        try:
            current_scope.reset(token)
        except ValueError:
            # The block ends in another context than it began in, as generators of web frameworks do.
            current_scope.set(self._outer)


class Session(_Scope):
    """One session. Entering makes it current; it may be entered again, and be continued elsewhere by its id."""

    def __init__(
        self,
        client: EventQueue,
        session_id: str,
        *,
        name: str | None = None,
        user_id: str | None = None,
        properties: Mapping[str, Property] | None = None,
    ) -> None:
        """Nothing is logged by a session itself."""
        super().__init__()
        self.client = client
        self.id = session_id
        self.name = name
        self.user_id = user_id
        self.properties = dict(properties or {})

    @property
    def path(self) -> str:
        """Where its steps begin."""
        return "/"

    def step(
        self,
        path: str,
        *,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        properties: Mapping[str, Property] | None = None,
    ) -> "Step":
        """One operation, logged when its block ends. A path without a leading slash goes below the current step's."""
        return Step(self, path, kind=kind, name=name, model=model, provider=provider, properties=properties)

    def end(self, outcome: Literal["completed", "failed"] = "completed", reason: str | None = None) -> None:
        """Say that nothing follows. A block's end does not say so: a session may span many requests."""
        fields = {"outcome": outcome, "reason": reason, "at": time.time()}
        self.client.queue(fields, self.id)

    def completed(self, fields: Mapping[str, Any], path: str | None = None) -> dict[str, Any]:
        """The fields with those of the session where they are missing."""
        whole = dict(fields)
        whole["session_id"] = self.id
        if self.name is not None:
            whole.setdefault("session_name", self.name)
        if self.user_id is not None:
            whole.setdefault("user_id", self.user_id)
        own = whole.get("properties") or {}
        if self.properties and isinstance(own, Mapping):
            whole["properties"] = {**self.properties, **own}
        if path is not None:
            whole.setdefault("path", path)
        return whole

    def __enter__(self) -> Self:
        """Make it current."""
        self._enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        """What was current before is so again."""
        self._leave()

    async def __aenter__(self) -> Self:
        """As `with`."""
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        """As `with`."""
        self._leave()


class Step(_Scope):
    """One operation of a session. Whatever is set on it before the block ends is logged with it."""

    def __init__(
        self,
        session: Session,
        path: str,
        *,
        kind: Kind | None,
        name: str | None,
        model: str | None,
        provider: str | None,
        properties: Mapping[str, Property] | None,
    ) -> None:
        """It begins with its block."""
        super().__init__()
        self.session = session
        self.client = session.client
        self.path = path
        self.kind = kind
        self.name = name
        self.model = model
        self.provider = provider
        self.properties: dict[str, Property] = dict(properties or {})
        self.request: Any = None
        self.response: Any = None
        self.usage: Mapping[str, Any] | None = None
        self.cost_usd: float | None = None
        self.status: int | None = None
        self.error: Fault | None = None
        self.time_to_first_token_ms: float | None = None
        self.event_id: str | None = None
        self._started_at = 0.0
        self._clock = 0.0

    def first_token(self) -> None:
        """Say that the answer begins now; only the first call counts."""
        if self.time_to_first_token_ms is None:
            self.time_to_first_token_ms = (time.perf_counter() - self._clock) * 1_000

    def completed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of an event that happens within this step."""
        return self.session.completed(fields, self.path)

    def __enter__(self) -> Self:
        """Begin."""
        outer = current_scope.get()
        if isinstance(outer, Step) and outer.session.id == self.session.id:
            self.path = joined(outer.path, self.path)
        else:
            self.path = joined("/", self.path)
        self._enter(self)
        self._started_at, self._clock = time.time(), time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        """End and log; an exception is noted and goes on."""
        # The clock of the day may be set meanwhile; what a step took is measured with the other one.
        ended_at = self._started_at + time.perf_counter() - self._clock
        self._leave()
        if fault is not None:
            is_cancelled = isinstance(fault, asyncio.CancelledError | GeneratorExit)
            self.status = self.status or (STATUS_CANCELLED if is_cancelled else STATUS_FAILED)
            self.error = self.error or fault_of(fault)
        fields = {
            name: value
            for name in _LOGGED
            if (value := getattr(self, name)) is not None and not (name == "properties" and not value)
        }
        whole = self.completed({**fields, "started_at": self._started_at, "ended_at": ended_at})
        self.event_id = self.client.queue(whole)

    async def __aenter__(self) -> Self:
        """As `with`."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `with`."""
        self.__exit__(kind, fault, trace)


_LOGGED = (
    *("path", "kind", "name", "model", "provider", "properties", "request", "response"),
    *("usage", "cost_usd", "status", "error", "time_to_first_token_ms"),
)
"""A step's attributes that are fields of its event."""

current_scope: ContextVar[Session | Step | None] = ContextVar("pathline_scope", default=None)
"""The innermost block that runs."""


def current_session() -> Session | None:
    """The session of the innermost block, for code that was not handed one."""
    scope = current_scope.get()
    return scope.session if isinstance(scope, Step) else scope


def joined(outer: str, path: object) -> str:
    """A path below another one, unless it begins at the root."""
    text = str(path)
    return text if text.startswith("/") else f"{outer.rstrip('/')}/{text}".rstrip("/") or "/"


def fault_of(fault: BaseException) -> Fault:
    """An exception as an event's error."""
    kind = type(fault)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(fault)
    except Exception:  # noqa: BLE001 - an exception of someone else; its name must do
        message = ""
    return {"type": name[:256], "message": message[:ERROR_MESSAGE_CHARS_MAX]}
