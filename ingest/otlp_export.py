"""What one OTLP export becomes: a record for each span that can be taken, and counts of why others were not.

A record carries its span with its scope and resource as one protobuf message (`TracesData`), whatever encoding the
export had.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import re2
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from infra.projects import Credential
from infra.topics import RECORD_BYTES_MAX
from ingest.decode.otlp import (
    Fields,
    ResourceFields,
    check_span,
    door_facts,
    door_fields,
    resource_fields,
    shared_envelope,
    span_value,
)
from ingest.envelope import check_retention
from ingest.errors import InvalidBody, PayloadTooLarge, RecordTooLarge
from ingest.event import TEXT_BYTES_MAX, InvalidEvent, trace_key
from ingest.lanes import RECORD_OVERHEAD_BYTES
from ingest.masked_content import mask_headers
from ingest.masked_span import mask_message, remove_secrets
from ingest.masking import masker_of
from ingest.otlp_ends import NAMES, end_of_log, end_of_span_event
from ingest.otlp_wire import WireSpan, read_export, read_span, shared_bytes, traces_data

REASONS_MAX = 5
"""Different reasons that one answer names."""
TURN_ITEMS = 256
"""Spans, or log records, between two turns of other requests: about 10 ms."""
TOO_LARGE = f"its record is over {RECORD_BYTES_MAX // 1024 // 1024} MiB"

_SHORT_CHARACTERS_MAX = TEXT_BYTES_MAX // 4
"""A character is at most 4 bytes of UTF-8, so a text of this length needs no encoding to be measured."""
_HELICONE = b"helicone-"
_ANY_HELICONE = re2.compile(b"(?i)helicone-").search
"""Most exports have no such name anywhere, so that their spans need not be searched one by one."""
_SECRETS = re.compile(rb"helicone-(?:auth|posthog-key)").search
_FIELD_NAMES = ("session id", "session name", "user id", "path")

Records = list[tuple[bytes, bytes]]
Message = TypeVar("Message")


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
        """By reason, in words."""
        self.refused_codes: Counter[str] = Counter()
        """The same by code."""
        self.ends_moved = 0
        """Spans taken whose end was no time after their start."""
        self._sender = sender
        self._settings = sender.settings
        self._masker = masker_of(sender)
        self._headers = mask_headers(dict(headers), self._masker) if self._masker else dict(headers)
        self._received_at_us = received_at_us
        self._bytes_left = records_bytes_max
        self._may_name_helicone = True
        self._envelope = shared_envelope(sender.project_id, sender.settings_version, received_at_us, self._headers)

    def take_traces(self, body: bytes) -> Iterator[None]:
        """Fill the records from an encoded `ExportTraceServiceRequest`.

        Yields now and then, so that the caller can give others a turn.

        Raises:
            InvalidBody: it is none; names the place.
            PayloadTooLarge: all records together are over their limit.
        """
        self._may_name_helicone = _ANY_HELICONE(body) is not None
        taken = 0
        for resource_index, resource_spans in enumerate(_decoded(read_export, body, "").resource_spans):
            place = f"resource_spans[{resource_index}]"
            resource, resource_bytes = self._shared(Resource, resource_spans.resource, resource_spans, place)
            fields = resource_fields(resource.attributes)
            for scope_index, scope_spans in enumerate(resource_spans.scope_spans):
                scope_place = f"{place}.scope_spans[{scope_index}]"
                _, scope_bytes = self._shared(InstrumentationScope, scope_spans.scope, scope_spans, scope_place)
                for index, encoded in enumerate(scope_spans.spans):
                    try:
                        span = read_span(encoded)
                    except DecodeError as fault:
                        raise _undecodable(fault, f"{scope_place}.spans[{index}]") from fault
                    self._take_span(span, encoded, fields, resource_bytes, scope_bytes)
                    taken += 1
                    if not taken % TURN_ITEMS:
                        yield

    def _shared(self, kind: Any, encoded: Any, within: Any, place: str) -> tuple[Any, bytes]:
        """What the spans of `within` share: the message, a resource or a scope, and the bytes that travel with each."""
        name = "resource" if kind is Resource else "scope"
        whole = b"".join(encoded)
        message = _decoded(kind.FromString, whole, f"{place}.{name}")
        schema_url = within.schema_url
        if self._masker or _SECRETS(whole.lower()):
            remove_secrets(message)
            if self._masker:
                mask_message(message, self._masker)
                schema_url = self._masker.text(schema_url)
            encoded = [message.SerializeToString()]
        return message, shared_bytes(encoded, schema_url)

    def take_logs(self, body: bytes) -> Iterator[None]:
        """As `take_traces`, for the log records of an `ExportLogsServiceRequest`."""
        taken = 0
        for resource_logs in _decoded(ExportLogsServiceRequest.FromString, body, "").resource_logs:
            for scope_logs in resource_logs.scope_logs:
                for log in scope_logs.log_records:
                    try:
                        end = end_of_log(log, self._sender, self._received_at_us)
                    except InvalidEvent as fault:
                        self._refuse(fault.text, fault.code)
                    else:
                        if end is not None:
                            self._add(self.ends, end.key, end.value)
                    taken += 1
                    if not taken % TURN_ITEMS:
                        yield

    def refuse_too_large(self) -> None:
        """Count a record that the broker did not take for its size."""
        self._refuse(TOO_LARGE, RecordTooLarge.code)

    def _refuse(self, reason: str, code: str) -> None:
        self.refused[reason] += 1
        self.refused_codes[code] += 1

    def _take_span(
        self, span: WireSpan, encoded: bytes, resource: ResourceFields, resource_bytes: bytes, scope_bytes: bytes
    ) -> None:
        try:
            key, value = self._span_record(span, encoded, resource, resource_bytes, scope_bytes)
        except InvalidEvent as fault:
            self._refuse(fault.text, fault.code)
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
        self, span: WireSpan, encoded: bytes, resource: ResourceFields, resource_bytes: bytes, scope_bytes: bytes
    ) -> tuple[bytes, bytes]:
        check_span(span, self._received_at_us)
        if self._settings.retention_days is not None:
            check_retention("start time: it", span.start_time_unix_nano // 1_000, self._sender, self._received_at_us)
        names_helicone = self._may_name_helicone and _HELICONE in encoded.lower()
        event_id, fields = door_facts(
            span, encoded, resource, self._headers, self._settings, names_helicone=names_helicone
        )
        if self._masker or (names_helicone and _SECRETS(encoded.lower())):
            # The id is of what was sent, so that the same span has the same id whatever the rules are.
            encoded, fields = self._masked(encoded, resource)
        _check_fields(fields)
        message = traces_data(encoded, resource_bytes, scope_bytes)
        value = span_value(self._envelope, event_id, fields.session_id, message)
        if len(value) > RECORD_BYTES_MAX:
            raise RecordTooLarge
        return trace_key(self._sender.project_id, span.trace_id.hex()), value

    def _masked(self, encoded: bytes, resource: ResourceFields) -> tuple[bytes, Fields]:
        span = trace_pb2.Span.FromString(encoded)
        remove_secrets(span)
        if self._masker:
            mask_message(span, self._masker)
        return span.SerializeToString(), door_fields(span, resource, self._headers, self._settings)

    def _take_ends(self, span: WireSpan) -> None:
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


def _decoded(decode: Callable[[bytes], Message], encoded: bytes, place: str) -> Message:
    try:
        return decode(encoded)
    except DecodeError as fault:
        raise _undecodable(fault, place) from fault


def _undecodable(fault: DecodeError, place: str) -> InvalidBody:
    reason = str(fault).partition(": ")[2] or str(fault)
    return InvalidBody(f"Invalid {place or 'protobuf'}: {reason}", place=place)


def _check_fields(fields: Fields) -> None:
    for place, text in enumerate(fields):
        if text is not None and len(text) > _SHORT_CHARACTERS_MAX and len(text.encode()) > TEXT_BYTES_MAX:
            # One of a few texts, so that refusals can be counted by it.
            raise InvalidEvent(f"{_FIELD_NAMES[place]} is longer than {TEXT_BYTES_MAX} bytes", code="too_long")


def refusals(refused: Counter[str], noun: str) -> str:
    """`3 spans refused: span id is not 8 bytes (2); trace id is all zero (1)`, the most frequent reasons first."""
    total = refused.total()
    head = f"{total} {noun}{'' if total == 1 else 's'} refused: "
    if len(refused) == 1:
        return head + next(iter(refused))
    reasons = [f"{reason} ({count})" for reason, count in refused.most_common(REASONS_MAX)]
    more = len(refused) - len(reasons)
    return head + "; ".join(reasons) + (f"; {more} more reasons" if more else "")
