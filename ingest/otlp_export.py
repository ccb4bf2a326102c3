"""What one OTLP export becomes: a record for each span that can be taken, and counts of why others were not.

A record carries its span with its scope and resource as one protobuf message (`TracesData`), whatever encoding the
export had. Messages of protobuf may be put together from the bytes of their fields, so what many spans share is
encoded once.
"""

from binascii import b2a_base64
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

from infra.projects import Credential
from infra.topics import RECORD_BYTES_MAX
from ingest.decode.limits import check_text
from ingest.decode.otlp import ResourceFields, check_span, door_fields, resource_fields, span_event_id
from ingest.errors import PayloadTooLarge, RecordTooLarge
from ingest.event import SCHEMA_VERSION, TEXT_BYTES_MAX, InvalidEvent, Record, encode_record, trace_key
from ingest.otlp_ends import NAMES, end_of_log, end_of_span_event
from ingest.publisher import RECORD_OVERHEAD_BYTES

SOURCE = "otlp"
REASONS_MAX = 5
"""Different reasons that one answer names."""
TURN_ITEMS = 256
"""Spans, or log records, between two turns of other requests: about 10 ms."""
TOO_LARGE = f"its record is over {RECORD_BYTES_MAX // 1024 // 1024} MiB"

# The tags of length-delimited fields: the field's number times 8, plus 2.
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = b"\x0a", b"\x12", b"\x12"
_FIELD_NAMES = ("session id", "session name", "user id", "path")

Records = list[tuple[bytes, bytes]]


class Export:
    """The records of one body, and what is said of the rest.

    `records_bytes_max` bounds all of them together: a resource travels with each of its spans, so a body can grow.
    """

    def __init__(
        self, sender: Credential, headers: Mapping[str, str], received_at_us: int, *, records_bytes_max: int
    ) -> None:
        self.spans: Records = []
        self.ends: Records = []
        self.refused: Counter[str] = Counter()
        """By reason."""
        self.ends_moved = 0
        """Spans taken whose end was no time after their start."""
        self._sender = sender
        self._headers = dict(headers)
        self._received_at_us = received_at_us
        self._bytes_left = records_bytes_max

    def take_traces(self, message: ExportTraceServiceRequest) -> Iterator[None]:
        """Fill the records; yields now and then, so that the caller can give others a turn.

        Raises:
            PayloadTooLarge: all records together are over their limit.
        """
        taken = 0
        for resource_spans in message.resource_spans:
            of_resource = resource_fields(resource_spans.resource.attributes)
            resource_bytes = _resource_bytes(resource_spans)
            for scope_spans in resource_spans.scope_spans:
                scope_bytes = _scope_bytes(scope_spans)
                for span in scope_spans.spans:
                    self._take_span(span, of_resource, resource_bytes, scope_bytes)
                    taken += 1
                    if not taken % TURN_ITEMS:
                        yield

    def take_logs(self, message: ExportLogsServiceRequest) -> Iterator[None]:
        """As `take_traces`, for the log records that end a session."""
        taken = 0
        for resource_logs in message.resource_logs:
            for scope_logs in resource_logs.scope_logs:
                for log in scope_logs.log_records:
                    try:
                        end = end_of_log(log, self._sender, self._received_at_us)
                    except InvalidEvent as fault:
                        self.refused[fault.text] += 1
                    else:
                        if end is not None:
                            self._add(self.ends, end.key, end.value)
                    taken += 1
                    if not taken % TURN_ITEMS:
                        yield

    def refuse_too_large(self) -> None:
        """Count a record that the broker did not take for its size."""
        self.refused[TOO_LARGE] += 1

    def _take_span(
        self, span: trace.Span, resource: ResourceFields, resource_bytes: bytes, scope_bytes: bytes
    ) -> None:
        try:
            key, value = self._span_record(span, resource, resource_bytes, scope_bytes)
        except InvalidEvent as fault:
            self.refused[fault.text] += 1
            return
        except RecordTooLarge:
            self.refuse_too_large()
            return
        self._add(self.spans, key, value)
        if span.end_time_unix_nano < span.start_time_unix_nano:
            self.ends_moved += 1
        if span.events:
            self._take_ends(span)

    def _span_record(
        self, span: trace.Span, resource: ResourceFields, resource_bytes: bytes, scope_bytes: bytes
    ) -> tuple[bytes, bytes]:
        check_span(span, self._received_at_us)
        sender = self._sender
        fields = door_fields(span, resource, self._headers, sender.settings)
        _check_fields(fields)
        message = wire_message(span.SerializeToString(), resource_bytes, scope_bytes)
        value = encode_record(
            Record(
                SCHEMA_VERSION,
                SOURCE,
                sender.project_id,
                sender.settings_version,
                span_event_id(span.trace_id, span.span_id, span.attributes),
                self._received_at_us,
                msgspec.Raw(b'{"span":"%b"}' % b2a_base64(message, newline=False)),
                fields.session_id,
                self._headers,
            )
        )
        if len(value) > RECORD_BYTES_MAX:
            raise RecordTooLarge
        return trace_key(sender.project_id, span.trace_id.hex()), value

    def _take_ends(self, span: trace.Span) -> None:
        """Of a session, told by the span's events. One that breaks a rule ends nothing; its span was taken."""
        for event in span.events:
            if event.name not in NAMES:
                continue
            try:
                end = end_of_span_event(event, self._sender, self._received_at_us)
            except InvalidEvent:
                continue
            if end is not None:
                self._add(self.ends, end.key, end.value)

    def _add(self, records: Records, key: bytes, value: bytes) -> None:
        self._bytes_left -= len(value) + RECORD_OVERHEAD_BYTES
        if self._bytes_left < 0:
            raise PayloadTooLarge("The records of all spans together are too large: send fewer at a time")
        records.append((key, value))


def wire_message(span: bytes, resource: bytes, scope: bytes) -> bytes:
    """`TracesData` with one span, from the bytes of the span and of the fields that its resource and scope have."""
    scope_spans = b"%b%b%b%b" % (scope, _SPANS, _varint(len(span)), span)
    resource_spans = b"%b%b%b%b" % (resource, _SCOPE_SPANS, _varint(len(scope_spans)), scope_spans)
    return b"%b%b%b" % (_RESOURCE_SPANS, _varint(len(resource_spans)), resource_spans)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _resource_bytes(resource_spans: trace.ResourceSpans) -> bytes:
    """Everything of a `ResourceSpans` but its spans, encoded."""
    shared = trace.ResourceSpans(schema_url=resource_spans.schema_url)
    if resource_spans.HasField("resource"):
        shared.resource.CopyFrom(resource_spans.resource)
    return shared.SerializeToString()


def _scope_bytes(scope_spans: trace.ScopeSpans) -> bytes:
    shared = trace.ScopeSpans(schema_url=scope_spans.schema_url)
    if scope_spans.HasField("scope"):
        shared.scope.CopyFrom(scope_spans.scope)
    return shared.SerializeToString()


def _check_fields(fields: tuple[str | None, ...]) -> None:
    for name, text in zip(_FIELD_NAMES, fields, strict=True):
        try:
            check_text(name, text)
        except InvalidEvent as fault:
            # One of a few texts, so that refusals can be counted by it.
            raise InvalidEvent(f"{name} is longer than {TEXT_BYTES_MAX} bytes", code=fault.code) from fault


def refusals(refused: Counter[str], noun: str) -> str:
    """`3 spans refused: span id is not 8 bytes (2); trace id is all zero (1)`, the most frequent reasons first."""
    total = refused.total()
    head = f"{total} {noun}{'' if total == 1 else 's'} refused: "
    if len(refused) == 1:
        return head + next(iter(refused))
    reasons = [f"{reason} ({count})" for reason, count in refused.most_common(REASONS_MAX)]
    more = len(refused) - len(reasons)
    return head + "; ".join(reasons) + (f"; {more} more reasons" if more else "")
