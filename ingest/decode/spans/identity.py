"""Which spans can be taken, and under which id (otlp.md section 3)."""

from hashlib import sha1
from uuid import UUID

from opentelemetry.proto.trace.v1 import trace_pb2

from ingest.decode.limits import FUTURE_MAX_US
from ingest.event import InvalidEvent, parse_uuid

_NAMESPACE = UUID("2f88cae1-2e69-5a3b-ad10-f25ae169315b").bytes


def span_event_id(trace_id: bytes, span_id: bytes, request_id: str | None = None) -> str:
    """The event id of a span: its `Helicone-Request-Id` if that is a UUID, else one that its own ids give."""
    if request_id and (sent := parse_uuid(request_id)):
        return sent
    text = f"{trace_id.hex()}-{span_id.hex()}".encode()
    # The same as `uuid5`, in a third of the time: the door computes one per span.
    value = int.from_bytes(sha1(_NAMESPACE + text, usedforsecurity=False).digest()[:16])
    value = value & ~(0xF << 76 | 0x3 << 62) | 0x5 << 76 | 0x2 << 62
    found = f"{value:032x}"
    return f"{found[:8]}-{found[8:12]}-{found[12:16]}-{found[16:20]}-{found[20:]}"


def check_span(span: trace_pb2.Span, received_at_us: int) -> None:
    """The rules for a span's ids and times.

    Raises:
        InvalidEvent: the span can never be stored; the text is one of a few, so that refusals can be counted by it.
    """
    for name, sent, length in (("trace", span.trace_id, 16), ("span", span.span_id, 8)):
        if len(sent) != length:
            raise InvalidEvent(f"{name} id is not {length} bytes", code="invalid_id")
        if not any(sent):
            raise InvalidEvent(f"{name} id is all zero", code="invalid_id")
    if not span.start_time_unix_nano:
        raise InvalidEvent("start time is 0", code="invalid_time")
    newest_us = received_at_us + FUTURE_MAX_US
    if span.start_time_unix_nano // 1_000 > newest_us:
        raise InvalidEvent("start time is in the future", code="invalid_time")
    if span.end_time_unix_nano // 1_000 > newest_us:
        raise InvalidEvent("end time is in the future", code="invalid_time")
