"""OTLP's JSON encoding (otlp.md section 2.1), read into the messages that the protobuf encoding gives. Pure.

It is not protobuf's own JSON mapping: ids are hex, enums integers, and original snake_case names are unknown fields.
"""

import binascii
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.resource.v1 import resource_pb2 as resource
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

from ingest import otlp_json_shapes as shapes
from ingest.decode.json_faults import UNREADABLE, at_path, refusal
from ingest.errors import InvalidBody
from ingest.event import InvalidEvent
from ingest.json_text import readable

MESSAGES_DEPTH_MAX = 100
"""How deep messages may lie in each other: protobuf's own limit, which a record made of JSON must keep too."""

_SPAN_DEPTH = 4
"""Of the messages that lie in a span: export, resource spans, scope spans, span."""
_UINT64_MAX = 2**64 - 1
_INT64_MAX = 2**63 - 1
_DECIMAL = re.compile(r"-?[0-9]{1,20}")
_INFINITIES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

Item = TypeVar("Item")
Number = int | float | str | None


class _Misread(Exception):
    """A value that cannot be what its field holds; gathers its place on the way out."""

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.place = place

    def under(self, parent: str) -> "_Misread":
        """The same fault, seen from one level further out."""
        joint = "" if not self.place or self.place.startswith("[") else "."
        return _Misread(self.text, f"{parent}{joint}{self.place}")


def read_traces(body: bytes) -> ExportTraceServiceRequest:
    """The export that a JSON body holds.

    Raises:
        InvalidBody: not JSON, not UTF-8, nested too deep, or a value that its field cannot hold.
    """
    export = _parse(_traces_decoder, body)
    message = ExportTraceServiceRequest()
    try:
        _each("resourceSpans", export.resource_spans, lambda one: _resource_spans(one, message.resource_spans.add()))
    except _Misread as fault:
        raise _invalid(fault) from fault
    return message


def read_logs(body: bytes) -> ExportLogsServiceRequest:
    """As `read_traces`, for log records."""
    export = _parse(_logs_decoder, body)
    message = ExportLogsServiceRequest()
    try:
        _each("resourceLogs", export.resource_logs, lambda one: _resource_logs(one, message.resource_logs.add()))
    except _Misread as fault:
        raise _invalid(fault) from fault
    return message


_traces_decoder = msgspec.json.Decoder(shapes.Traces)
_logs_decoder = msgspec.json.Decoder(shapes.Logs)


def _parse(decoder: "msgspec.json.Decoder[Item]", body: bytes) -> Item:
    try:
        return decoder.decode(readable(body))
    except InvalidEvent as fault:
        raise InvalidBody(fault.text) from fault
    except UNREADABLE as fault:
        raise InvalidBody(refusal(fault, "body").text, place=at_path(fault)) from fault


def _invalid(fault: _Misread) -> InvalidBody:
    return InvalidBody(f"Invalid {fault.place}: {fault.text}", place=fault.place)


def _each(name: str, items: Sequence[Item | None] | None, read: Callable[[Item], None]) -> None:
    for index, item in enumerate(items or ()):
        if item is None:
            continue
        try:
            read(item)
        except _Misread as fault:
            raise fault.under(f"{name}[{index}]") from fault


def _resource_spans(sent: shapes.ResourceSpans, into: trace.ResourceSpans) -> None:
    if sent.resource is not None:
        _resource(sent.resource, into.resource)
    into.schema_url = sent.schema_url or ""
    _each("scopeSpans", sent.scope_spans, lambda one: _scope_spans(one, into.scope_spans.add()))


def _scope_spans(sent: shapes.ScopeSpans, into: trace.ScopeSpans) -> None:
    if sent.scope is not None:
        _scope(sent.scope, into.scope)
    into.schema_url = sent.schema_url or ""
    _each("spans", sent.spans, lambda one: _span(one, into.spans.add()))


def _resource_logs(sent: shapes.ResourceLogs, into: logs.ResourceLogs) -> None:
    if sent.resource is not None:
        _resource(sent.resource, into.resource)
    into.schema_url = sent.schema_url or ""
    _each("scopeLogs", sent.scope_logs, lambda one: _scope_logs(one, into.scope_logs.add()))


def _scope_logs(sent: shapes.ScopeLogs, into: logs.ScopeLogs) -> None:
    if sent.scope is not None:
        _scope(sent.scope, into.scope)
    into.schema_url = sent.schema_url or ""
    _each("logRecords", sent.log_records, lambda one: _log_record(one, into.log_records.add()))


def _resource(sent: shapes.Resource, into: resource.Resource) -> None:
    into.dropped_attributes_count = _uint32("resource.droppedAttributesCount", sent.dropped_attributes_count)
    try:
        _attributes(sent.attributes, into.attributes, _SPAN_DEPTH)
    except _Misread as fault:
        raise fault.under("resource") from fault


def _scope(sent: shapes.Scope, into: common.InstrumentationScope) -> None:
    into.name = sent.name or ""
    into.version = sent.version or ""
    into.dropped_attributes_count = _uint32("scope.droppedAttributesCount", sent.dropped_attributes_count)
    try:
        _attributes(sent.attributes, into.attributes, _SPAN_DEPTH)
    except _Misread as fault:
        raise fault.under("scope") from fault


def _span(sent: shapes.Span, into: trace.Span) -> None:
    into.trace_id = _hex("traceId", sent.trace_id)
    into.span_id = _hex("spanId", sent.span_id)
    into.parent_span_id = _hex("parentSpanId", sent.parent_span_id)
    into.trace_state = sent.trace_state or ""
    into.flags = _uint32("flags", sent.flags)
    into.name = sent.name or ""
    into.kind = _enum("kind", sent.kind, trace.Span.SpanKind)
    into.start_time_unix_nano = _uint64("startTimeUnixNano", sent.start_time_unix_nano)
    into.end_time_unix_nano = _uint64("endTimeUnixNano", sent.end_time_unix_nano)
    into.dropped_attributes_count = _uint32("droppedAttributesCount", sent.dropped_attributes_count)
    into.dropped_events_count = _uint32("droppedEventsCount", sent.dropped_events_count)
    into.dropped_links_count = _uint32("droppedLinksCount", sent.dropped_links_count)
    _attributes(sent.attributes, into.attributes, _SPAN_DEPTH)
    _each("events", sent.events, lambda one: _event(one, into.events.add()))
    _each("links", sent.links, lambda one: _link(one, into.links.add()))
    if sent.status is not None:
        into.status.message = sent.status.message or ""
        into.status.code = _enum("status.code", sent.status.code, trace.Status.StatusCode)


def _event(sent: shapes.SpanEvent, into: trace.Span.Event) -> None:
    into.time_unix_nano = _uint64("timeUnixNano", sent.time_unix_nano)
    into.name = sent.name or ""
    into.dropped_attributes_count = _uint32("droppedAttributesCount", sent.dropped_attributes_count)
    _attributes(sent.attributes, into.attributes, _SPAN_DEPTH + 1)


def _link(sent: shapes.Link, into: trace.Span.Link) -> None:
    into.trace_id = _hex("traceId", sent.trace_id)
    into.span_id = _hex("spanId", sent.span_id)
    into.trace_state = sent.trace_state or ""
    into.flags = _uint32("flags", sent.flags)
    into.dropped_attributes_count = _uint32("droppedAttributesCount", sent.dropped_attributes_count)
    _attributes(sent.attributes, into.attributes, _SPAN_DEPTH + 1)


def _log_record(sent: shapes.LogRecord, into: logs.LogRecord) -> None:
    into.time_unix_nano = _uint64("timeUnixNano", sent.time_unix_nano)
    into.observed_time_unix_nano = _uint64("observedTimeUnixNano", sent.observed_time_unix_nano)
    into.severity_number = _enum("severityNumber", sent.severity_number, logs.SeverityNumber)
    into.severity_text = sent.severity_text or ""
    into.event_name = sent.event_name or ""
    into.trace_id = _hex("traceId", sent.trace_id)
    into.span_id = _hex("spanId", sent.span_id)
    into.flags = _uint32("flags", sent.flags)
    into.dropped_attributes_count = _uint32("droppedAttributesCount", sent.dropped_attributes_count)
    _attributes(sent.attributes, into.attributes, _SPAN_DEPTH)
    if sent.body is not None:
        try:
            _any_value(sent.body, into.body, _SPAN_DEPTH + 1)
        except _Misread as fault:
            raise fault.under("body") from fault


def _attributes(sent: Sequence[shapes.KeyValue | None] | None, into: Any, depth: int, name: str = "attributes") -> None:
    """`depth` is that of the message that has the attributes; `into` its field of them."""
    for index, attribute in enumerate(sent or ()):
        if attribute is None:
            continue
        pair = into.add()
        pair.key = attribute.key or ""
        if attribute.value is None:
            continue
        try:
            _any_value(attribute.value, pair.value, depth + 2)
        except _Misread as fault:
            raise fault.under(f"{name}[{index}].value") from fault


def _any_value(sent: shapes.AnyValue, into: common.AnyValue, depth: int) -> None:
    if depth > MESSAGES_DEPTH_MAX:
        raise _Misread("it is nested too deep")
    if sent.string_value is not None:
        into.string_value = sent.string_value
    elif sent.bool_value is not None:
        into.bool_value = sent.bool_value
    elif sent.int_value is not None:
        into.int_value = _whole("intValue", sent.int_value, -_INT64_MAX - 1, _INT64_MAX)
    elif sent.double_value is not None:
        into.double_value = _double("doubleValue", sent.double_value)
    elif sent.bytes_value is not None:
        into.bytes_value = _base64("bytesValue", sent.bytes_value)
    elif sent.array_value is not None:
        into.array_value.SetInParent()
        for index, item in enumerate(sent.array_value.values or ()):
            # A null among the values is a value of its own: an empty one.
            added = into.array_value.values.add()
            if item is not None:
                try:
                    _any_value(item, added, depth + 2)
                except _Misread as fault:
                    raise fault.under(f"arrayValue.values[{index}]") from fault
    elif sent.kvlist_value is not None:
        into.kvlist_value.SetInParent()
        _attributes(sent.kvlist_value.values, into.kvlist_value.values, depth + 1, "kvlistValue.values")


def _hex(name: str, text: str | None) -> bytes:
    """An id of any length: whether it is that of an id is asked of each span."""
    if not text:
        return b""
    try:
        return binascii.unhexlify(text)
    except ValueError as fault:
        raise _Misread("it is not hex", name) from fault


def _base64(name: str, text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    except ValueError as fault:
        raise _Misread("it is not base64", name) from fault


def _uint64(name: str, sent: Number) -> int:
    return _whole(name, sent, 0, _UINT64_MAX)


def _uint32(name: str, sent: Number) -> int:
    return _whole(name, sent, 0, 2**32 - 1)


def _whole(name: str, sent: Number, least: int, most: int) -> int:
    """A whole number that was sent as one, as its decimal text, or as a float without a fraction."""
    if sent is None:
        return 0
    is_whole = _DECIMAL.fullmatch(sent) if isinstance(sent, str) else not isinstance(sent, float) or sent.is_integer()
    if not is_whole:
        raise _Misread("it is not a whole number", name)
    number = int(sent)
    if not least <= number <= most:
        raise _Misread(f"it is not between {least} and {most}", name)
    return number


def _double(name: str, sent: float | str) -> float:
    try:
        return _INFINITIES[sent] if sent in _INFINITIES else float(sent)
    except (ValueError, OverflowError) as fault:
        raise _Misread("it is not a number", name) from fault


def _enum(name: str, sent: Number, names: Any) -> Any:
    """The number of a member: unknown ones are 0, a member's name is tolerated."""
    if isinstance(sent, str) and sent in names.keys():  # noqa: SIM118  # a wrapper of protobuf's, no mapping
        return int(names.Value(sent))
    if isinstance(sent, str) and not sent.lstrip("-").isdecimal():
        return 0
    number = _whole(name, sent, -(2**31), 2**31 - 1)
    return number if number in names.values() else 0
