"""What OTLP's JSON looks like, field by field: every member may be missing or null, unknown ones are ignored."""

import msgspec

Number = int | float | str | None
"""A whole number: decimal text by rule, a number by tolerance."""


class Shape(msgspec.Struct, rename="camel", gc=False):
    """Base of all objects: their keys are lowerCamelCase."""


class AnyValue(Shape):
    """At most one of the members is given."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number = None
    double_value: Number = None
    array_value: "ArrayValue | None" = None
    kvlist_value: "KeyValueList | None" = None
    bytes_value: str | None = None


class ArrayValue(Shape):
    """A list."""

    values: list[AnyValue | None] | None = None


class KeyValue(Shape):
    """An attribute, or a member of a map."""

    key: str | None = None
    value: AnyValue | None = None


class KeyValueList(Shape):
    """A map."""

    values: list[KeyValue | None] | None = None


class Resource(Shape):
    """What sent the spans."""

    attributes: list[KeyValue | None] | None = None
    dropped_attributes_count: Number = None


class Scope(Shape):
    """The instrumentation that made them."""

    name: str | None = None
    version: str | None = None
    attributes: list[KeyValue | None] | None = None
    dropped_attributes_count: Number = None


class SpanEvent(Shape):
    """An event within a span."""

    time_unix_nano: Number = None
    name: str | None = None
    attributes: list[KeyValue | None] | None = None
    dropped_attributes_count: Number = None


class Link(Shape):
    """A reference to another span."""

    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    attributes: list[KeyValue | None] | None = None
    dropped_attributes_count: Number = None
    flags: Number = None


class Status(Shape):
    """How a span ended."""

    message: str | None = None
    code: Number = None


class Span(Shape):
    """One span."""

    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    parent_span_id: str | None = None
    flags: Number = None
    name: str | None = None
    kind: Number = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    attributes: list[KeyValue | None] | None = None
    dropped_attributes_count: Number = None
    events: list[SpanEvent | None] | None = None
    dropped_events_count: Number = None
    links: list[Link | None] | None = None
    dropped_links_count: Number = None
    status: Status | None = None


class ScopeSpans(Shape):
    """The spans of one scope."""

    scope: Scope | None = None
    spans: list[Span | None] | None = None
    schema_url: str | None = None


class ResourceSpans(Shape):
    """The spans of one resource."""

    resource: Resource | None = None
    scope_spans: list[ScopeSpans | None] | None = None
    schema_url: str | None = None


class Traces(Shape):
    """The body of `/v1/traces`."""

    resource_spans: list[ResourceSpans | None] | None = None


class LogRecord(Shape):
    """One log record."""

    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    severity_number: Number = None
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue | None] | None = None
    dropped_attributes_count: Number = None
    flags: Number = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class ScopeLogs(Shape):
    """The log records of one scope."""

    scope: Scope | None = None
    log_records: list[LogRecord | None] | None = None
    schema_url: str | None = None


class ResourceLogs(Shape):
    """The log records of one resource."""

    resource: Resource | None = None
    scope_logs: list[ScopeLogs | None] | None = None
    schema_url: str | None = None


class Logs(Shape):
    """The body of `/v1/logs`."""

    resource_logs: list[ResourceLogs | None] | None = None
