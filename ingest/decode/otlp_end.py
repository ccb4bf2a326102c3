"""Ends of sessions that OpenTelemetry's log records and span events tell (otlp.md section 12). Pure."""

from hashlib import sha1
from uuid import UUID

import msgspec
from asyncpg.pgproto.pgproto import UUID as PostgresUUID

from ingest.decode.json_faults import UNREADABLE, refusal
from ingest.decode.limits import FUTURE_MAX_US, check_text
from ingest.event import Event, InvalidEvent, Record, from_us

SOURCE = "otlp.end"
NAMESPACE = UUID("2f88cae1-2e69-5a3b-ad10-f25ae169315b")
"""Of the UUIDv5 that ids of OpenTelemetry become (otlp.md section 3)."""
SEVERITY_ERROR = 17
"""The least `severity_number` that says ERROR."""


class End(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The content of a record of source `otlp.end`: what the log record or span event said."""

    name: str
    """`session.end`, or the `session.start` that followed upon this session."""
    time_unix_nano: int
    severity_number: int = 0
    error_type: str | None = None


_decoder = msgspec.json.Decoder(End)


def end_event_id(end: End, session_id: str) -> str:
    """The same end told again has the same id."""
    text = f"log-{end.name}-{session_id}-{end.time_unix_nano}"
    digest = sha1(NAMESPACE.bytes + text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return str(UUID(bytes=digest[:16], version=5))


def check_end(end: End, session_id: str | None, received_at_us: int) -> int:
    """The rules of such an end; gives its time in Unix microseconds.

    Raises:
        InvalidEvent: the first rule that is broken.
    """
    if not session_id:
        raise InvalidEvent(f"{end.name} has no session.id", code="missing_field")
    check_text("session.id", session_id)
    if not end.time_unix_nano:
        raise InvalidEvent(f"{end.name} has no time", code="invalid_time")
    at_us = end.time_unix_nano // 1000
    if not 0 < at_us <= received_at_us + FUTURE_MAX_US:
        raise InvalidEvent(f"the time of {end.name} is in the future", code="invalid_time")
    return at_us


def decode_end(record: Record) -> Event:
    """The event in a record of source `otlp.end`.

    Raises:
        InvalidEvent: it can never be stored.
    """
    try:
        end = _decoder.decode(record.content)
    except UNREADABLE as fault:
        raise refusal(fault) from fault
    at = from_us(check_end(end, record.session_id, record.received_at_us))
    is_failed = end.severity_number >= SEVERITY_ERROR or bool(end.error_type)
    return Event(
        project_id=record.project_id,
        event_id=PostgresUUID(record.event_id),
        kind="session_end",
        source=record.source,
        started_at=at,
        ended_at=at,
        received_at=from_us(record.received_at_us),
        session_id=record.session_id,
        outcome="failed" if is_failed else "completed",
        outcome_reason=end.error_type,
    )
