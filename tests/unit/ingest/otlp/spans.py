"""Spans built by hand, as records and decoded."""

import json
from base64 import b64encode
from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from infra.project_settings import DEFAULTS, ProjectSettings
from ingest.decode import otlp
from ingest.event import Event, Record

TRACE_ID, SPAN_ID, PARENT_ID = bytes.fromhex("5b8efff798038103d269b633813fc60c"), b"span-one", b"parent-1"
START_NS = 1_767_225_600_000_000_000
RECEIVED_AT_US = START_NS // 1_000 + 60_000_000
EVENT_ID = "3b241101-e2bb-4255-8caf-4136c566a962"
STATUS_ERROR = 2
INTERNAL, SERVER, CLIENT = 1, 2, 3


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP's."""
    match value:
        case AnyValue():
            return value
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            made = AnyValue()
            made.array_value.SetInParent()
            made.array_value.values.extend(any_value(item) for item in value)
            return made
        case dict():
            made = AnyValue()
            made.kvlist_value.SetInParent()
            for key, item in value.items():
                made.kvlist_value.values.add(key=key, value=any_value(item))
            return made
    raise TypeError(type(value))


def add_attributes(target: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        target.add(key=key, value=any_value(value))


def span_of(attributes: dict[str, Any], *, events: dict[str, dict[str, Any]] | None = None, **fields: Any) -> Span:
    """A span of a second's length; a root unless `parent_span_id` is given."""
    status, message = fields.pop("status", (0, ""))
    span = Span(
        **{
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "name": "work",
            "start_time_unix_nano": START_NS,
            "end_time_unix_nano": START_NS + 1_000_000_000,
            **fields,
        }
    )
    span.status.code, span.status.message = status, message
    add_attributes(span.attributes, attributes)
    for name, members in (events or {}).items():
        event = span.events.add(name=name.partition("#")[0], time_unix_nano=START_NS)
        add_attributes(event.attributes, members)
    return span


def record_of(span: Span, resource: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Record:
    """The record that the door publishes for a span."""
    within = ResourceSpans()
    add_attributes(within.resource.attributes, resource or {})
    within.scope_spans.add().scope.name = "test"
    within.scope_spans[0].spans.append(span)
    return record_of_resource(within, headers)


def record_of_resource(within: ResourceSpans, headers: dict[str, str] | None = None) -> Record:
    content = msgspec.Raw(TracesData(resource_spans=[within]).SerializeToString())
    return Record(2, "otlp", 1, 1, EVENT_ID, RECEIVED_AT_US, content, None, headers or {})


def decoded(
    attributes: dict[str, Any],
    *,
    resource: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    settings: ProjectSettings = DEFAULTS,
    **fields: Any,
) -> otlp.Span:
    """What a span with these attributes decodes to."""
    return otlp.decode_span(record_of(span_of(attributes, **fields), resource, headers), settings)


def event_of(attributes: dict[str, Any], **fields: Any) -> Event:
    """The event of such a span, which has one."""
    found = decoded(attributes, **fields).event
    assert found is not None
    return found


def request_of(event: Event) -> Any:
    assert event.decoded_request_body is not None
    return json.loads(event.decoded_request_body)


def response_of(event: Event) -> Any:
    assert event.decoded_response_body is not None
    return json.loads(event.decoded_response_body)


def spans_of_json(export: dict[str, Any]) -> list[otlp.Span]:
    """All spans of an export in OTLP's JSON, each through a record of its own; ids are hex there."""
    found = []
    for resource in export["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                message = dict(span)
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in message:
                        message[name] = b64encode(bytes.fromhex(message[name])).decode()
                one = {**resource, "scopeSpans": [{**scope, "spans": [message]}]}
                found.append(otlp.decode_span(record_of_resource(ParseDict(one, ResourceSpans())), DEFAULTS))
    return found
