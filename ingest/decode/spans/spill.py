"""`request_body.otel`: everything of a span that no table used, so that nothing is lost (otlp.md section 11)."""

from collections.abc import Collection, Mapping
from typing import Any

from opentelemetry.proto.trace.v1 import trace_pb2

from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.sources import SpanEvent
from ingest.decode.spans.values import read_attributes

_KINDS = {number: name.removeprefix("SPAN_KIND_").lower() for name, number in trace_pb2.Span.SpanKind.items()}


def spilled(
    span: trace_pb2.Span,
    attributes: Attributes,
    surplus: Mapping[str, Any],
    events: list[SpanEvent],
    used_events: Collection[int],
) -> dict[str, Any]:
    """What is left of the span itself. `surplus` are texts that were to become properties and found no room."""
    used = attributes.used
    left = {key: value for key, value in attributes.values.items() if key not in used}
    made: dict[str, Any] = {
        "name": span.name,
        "kind": _KINDS.get(span.kind, "unspecified"),
        "attributes": {**left, **surplus} if surplus else left,
    }
    made["events"] = [
        {"name": event.name, "time_unix_nano": event.time_unix_nano, "attributes": event.attributes}
        for place, event in enumerate(events)
        if place not in used_events
    ]
    made["links"] = [_link(link) for link in span.links] if span.links else []
    if span.trace_state:
        made["trace_state"] = span.trace_state
    if span.dropped_attributes_count or span.dropped_events_count or span.dropped_links_count:
        made["dropped"] = {
            "attributes": span.dropped_attributes_count,
            "events": span.dropped_events_count,
            "links": span.dropped_links_count,
        }
    return made


def _link(link: trace_pb2.Span.Link) -> dict[str, Any]:
    made = {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "attributes": read_attributes(link.attributes),
    }
    if link.trace_state:
        made["trace_state"] = link.trace_state
    return made


def origin(
    resource_attributes: Mapping[str, Any], spans: trace_pb2.ScopeSpans, resource: trace_pb2.ResourceSpans
) -> dict[str, Any]:
    """What the scope and the resource of a span say."""
    scope: dict[str, Any] = {"name": spans.scope.name, "version": spans.scope.version}
    if spans.scope.attributes:
        scope["attributes"] = read_attributes(spans.scope.attributes)
    made = {"scope": scope, "resource": {"attributes": resource_attributes}}
    if spans.schema_url:
        scope["schema_url"] = spans.schema_url
    if resource.schema_url:
        made["resource"]["schema_url"] = resource.schema_url
    return made
