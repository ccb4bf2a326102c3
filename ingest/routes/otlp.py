"""OTLP over HTTP (otlp.md): traces, the log records that end a session, and Helicone's doors for traces."""

import asyncio
from collections.abc import Callable, Iterator

from starlette.types import Receive, Scope, Send

from infra.projects import Credential
from infra.topics import EVENTS, SPANS
from ingest.admission import Admission, Headers
from ingest.envelope import kept_headers
from ingest.errors import NotFound, RecordTooLarge, UnsupportedType
from ingest.otlp_ends import STORED_ONLY
from ingest.otlp_export import Export, Records, refusals
from ingest.otlp_json import read_logs, read_traces
from ingest.publisher import Publisher
from ingest.routes.answers import Fault
from ingest.routes.door import Door, wall_clock_us
from ingest.routes.helicone import helicone_headers
from ingest.routes.otlp_answers import (
    JSON_TYPE,
    PROTOBUF_TYPE,
    send_logs_answer,
    send_status,
    send_traces_answer,
)

TRACE_PATHS = {
    "/v1/traces": None,
    "/v1/trace/log": JSON_TYPE,
    "/v1/trace/log-python": PROTOBUF_TYPE,
}
"""Route to the encoding of a body that does not name one; None: it must."""
LOGS_PATH = "/v1/logs"
NOT_OFFERED = {
    "/v1/metrics": "metrics",
    "/v1development/profiles": "profiles",
}
"""Signals of OpenTelemetry that are not stored here, by their routes."""


class OtlpDoor(Door):
    """Base of the OTLP doors: faults are `google.rpc.Status`, in the encoding of the request."""

    name = "otlp"

    def __init__(
        self,
        admission: Admission,
        publisher: Publisher,
        *,
        body_bytes_max: int,
        records_bytes_max: int,
        default_encoding: bytes | None = None,
        clock_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        super().__init__(admission, publisher, body_bytes_max=body_bytes_max, clock_us=clock_us)
        self._records_bytes_max = records_bytes_max
        self._default_encoding = default_encoding

    async def answer_fault(self, headers: Headers, send: Send, fault: Fault) -> None:
        """See `Door.answer_fault`."""
        await send_status(send, fault, encoding_of(headers) or self._default_encoding or JSON_TYPE)

    def encoding(self, headers: Headers) -> bytes:
        """The encoding of the body.

        Raises:
            UnsupportedType: it is none of the two, and the route has no default.
        """
        encoding = encoding_of(headers) or self._default_encoding
        if encoding is None:
            raise UnsupportedType
        return encoding

    def export(self, sender: Credential, scope: Scope) -> Export:
        """An export that nothing was taken of yet."""
        headers = kept_headers(helicone_headers(scope["headers"]))
        return Export(sender, headers, self.clock_us(), records_bytes_max=self._records_bytes_max)

    def _count(self, export: Export, accepted: int) -> None:
        for code, count in export.refused_codes.items():
            self.tally.refuse_event(code, count)
        self.tally.take(accepted)

    async def publish(self, records: Records, topic: str) -> int:
        """Publish all; gives how many are too large. Any other outcome than durable makes the export one to repeat."""
        too_large = 0
        for fault in await self.publisher.publish(records, topic):
            if isinstance(fault, RecordTooLarge):
                too_large += 1
            elif fault is not None:
                raise fault
        return too_large


class TracesDoor(OtlpDoor):
    """Spans, and the ends of sessions that their events tell."""

    async def take(self, sender: Credential, headers: Headers, body: bytes, scope: Scope, send: Send) -> None:
        """Publish the spans; 200 says that all that are not counted as refused are durable."""
        encoding = self.encoding(headers)
        if encoding == JSON_TYPE:
            body = read_traces(body).SerializeToString()
        export = self.export(sender, scope)
        await _in_turns(export.take_traces(body))
        self.admission.limiter.admit(sender, len(export.spans) + len(export.ends))
        too_large = await self.publish(export.spans, SPANS.name)
        for _ in range(too_large):
            export.refuse_too_large()
        await self.publish(export.ends, EVENTS.name)
        self._count(export, len(export.spans) - too_large + len(export.ends))
        await send_traces_answer(send, encoding, export.refused.total(), _trace_message(export))


class LogsDoor(OtlpDoor):
    """Log records: those that end a session are stored."""

    async def take(self, sender: Credential, headers: Headers, body: bytes, scope: Scope, send: Send) -> None:
        """Publish the ends of sessions; 200 says that they are durable, and counts what is not stored."""
        encoding = self.encoding(headers)
        if encoding == JSON_TYPE:
            body = read_logs(body).SerializeToString()
        export = self.export(sender, scope)
        await _in_turns(export.take_logs(body))
        self.admission.limiter.admit(sender, len(export.ends))
        await self.publish(export.ends, EVENTS.name)
        self._count(export, len(export.ends))
        await send_logs_answer(send, encoding, export.refused.total(), _log_message(export))


class NotOfferedDoor(OtlpDoor):
    """A signal that is not stored: 404 whatever is sent."""

    def __init__(self, admission: Admission, publisher: Publisher, *, signal: str) -> None:
        super().__init__(admission, publisher, body_bytes_max=0, records_bytes_max=0)
        self._fault = NotFound(f"OTLP {signal} are not offered here: send traces, or logs that end a session")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.refuse(dict(scope["headers"]), send, self._fault)

    async def refuse(self, headers: Headers, send: Send, fault: Fault) -> None:
        """The same for every method."""
        await super().refuse(headers, send, self._fault)


def encoding_of(headers: Headers) -> bytes | None:
    """The encoding that the request names, its parameters ignored; None: none of the two."""
    media_type = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    return media_type if media_type in (PROTOBUF_TYPE, JSON_TYPE) else None


async def _in_turns(work: Iterator[None]) -> None:
    """Do the work; other requests get their turn in between."""
    for _ in work:
        await asyncio.sleep(0)


def _trace_message(export: Export) -> str:
    parts = [refusals(export.refused, "span")] if export.refused else []
    if count := export.ends_moved:
        spans, they = ("1 span ends", "it") if count == 1 else (f"{count} spans end", "they")
        parts.append(f"{spans} before {they} began, taken with no duration")
    return "; ".join(parts)


def _log_message(export: Export) -> str:
    if set(export.refused) == {STORED_ONLY}:
        return STORED_ONLY
    return refusals(export.refused, "log record") if export.refused else ""
