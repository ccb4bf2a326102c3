"""Which spans can be taken, and under which id (otlp.md section 3)."""

from binascii import hexlify
from hashlib import sha1
from typing import Protocol
from uuid import UUID

from ingest.decode.limits import FUTURE_MAX_US
from ingest.event import InvalidEvent, parse_uuid

_namespace = sha1(UUID("2f88cae1-2e69-5a3b-ad10-f25ae169315b").bytes, usedforsecurity=False)
_SPAN_ID_BYTES = 8

_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The two highest bits of a UUID's ninth byte are 10."""
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


class SpanTimes(Protocol):
    """What the rules for a span's ids and times look at."""

    trace_id: bytes
    span_id: bytes
    start_time_unix_nano: int
    end_time_unix_nano: int


def span_event_id(trace_id: bytes, span_id: bytes, request_id: str | None = None) -> str:
    """The event id of a span: its `Helicone-Request-Id` if that is a UUID, else one that its own ids give."""
    if request_id and (sent := parse_uuid(request_id)):
        return sent
    # The same as `uuid5`, in a quarter of the time: the door computes one per span.
    hashed = _namespace.copy()
    hashed.update(b"%b-%b" % (hexlify(trace_id), hexlify(span_id)))
    digest = hashed.hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANTS[digest[16]]}{digest[17:20]}-{digest[20:32]}"


def check_span(span: SpanTimes, received_at_us: int) -> None:
    """The rules for a span's ids and times.

    Raises:
        InvalidEvent: the span can never be stored; the text is one of a few, so that refusals can be counted by it.
    """
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        raise _id_fault(trace_id, span_id)
    started_at = span.start_time_unix_nano
    newest = (received_at_us + FUTURE_MAX_US) * 1_000 + 999
    if not started_at:
        raise InvalidEvent("start time is 0", code="invalid_time")
    if started_at > newest:
        raise InvalidEvent("start time is in the future", code="invalid_time")
    if span.end_time_unix_nano > newest:
        raise InvalidEvent("end time is in the future", code="invalid_time")


def parent_of(parent_span_id: bytes) -> bytes:
    """The id of a span's parent; empty for a root.

    One that no span can have, all zero or not of 8 bytes, names no parent: a chain through it would never resolve, and
    what is longer than an id may be longer than an index takes.
    """
    return parent_span_id if len(parent_span_id) == _SPAN_ID_BYTES and any(parent_span_id) else b""


def _id_fault(trace_id: bytes, span_id: bytes) -> InvalidEvent:
    for name, sent, length in (("trace", trace_id, 16), ("span", span_id, 8)):
        if len(sent) != length:
            return InvalidEvent(f"{name} id is not {length} bytes", code="invalid_id")
        if not any(sent):
            break
    return InvalidEvent(f"{name} id is all zero", code="invalid_id")
