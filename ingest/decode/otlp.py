"""The entry point of decoding spans: a record becomes a `Span`, with its event unless it is structural. Pure.

What the door and the join over a trace need of `ingest.decode.spans` is offered here too.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from asyncpg.pgproto.pgproto import UUID as PostgresUUID
from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from infra.project_settings import ProjectSettings
from ingest.decode.labels import fitted, fitted_message
from ingest.decode.limits import check_envelope, check_text
from ingest.decode.native import label
from ingest.decode.spans import kind_tables, kinds, model_tables, property_tables
from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.bodies import Step, request_body, response_body
from ingest.decode.spans.body_tables import INPUT, OUTPUT
from ingest.decode.spans.field_tables import FIELD_NAMES, HELICONE_SPELLINGS
from ingest.decode.spans.fields import (
    HELICONE_FIRST_CHARACTERS,
    OwnFields,
    ResourceFields,
    door_facts,
    door_fields,
    mapped_values,
    resource_fields,
    span_fields,
)
from ingest.decode.spans.identity import check_span, parent_of, span_event_id
from ingest.decode.spans.paths import derived_path
from ingest.decode.spans.properties import helicone_name, read_properties
from ingest.decode.spans.records import (
    SOURCE,
    decode_span_record,
    encode_span_record,
    settings_of,
    shared_envelope,
    span_record_text,
    span_value,
)
from ingest.decode.spans.sources import SpanEvent, value_of
from ingest.decode.spans.span import Fields, Span
from ingest.decode.spans.spill import origin, spilled
from ingest.decode.spans.status import Outcome, outcome_of
from ingest.decode.spans.usage import (
    NO_COUNTS,
    Counts,
    first_token_us,
    net_tokens,
    read_cost,
    read_counts,
    usage_body,
)
from ingest.decode.spans.values import json_text, read_attributes
from ingest.decode.usage import set_tokens
from ingest.event import Event, InvalidEvent, Record, from_us, parse_uuid

__all__ = [
    "SOURCE",
    "Fields",
    "ResourceFields",
    "Span",
    "check_span",
    "decode_span",
    "decode_span_record",
    "derived_path",
    "door_facts",
    "door_fields",
    "encode_span_record",
    "resource_fields",
    "settings_of",
    "shared_envelope",
    "span_event_id",
    "span_record_text",
    "span_value",
]

_SPILL = "otel"
_CACHED_BYTES_MAX = 4_096


class _Sent(NamedTuple):
    """A span and all that was sent with it, read but not yet understood."""

    record: Record
    settings: ProjectSettings
    within: trace_pb2.ResourceSpans
    span: trace_pb2.Span
    resource: ResourceFields
    attributes: Attributes
    helicone: dict[str, str]
    """Attribute -> what follows `Helicone-` in it."""
    mapped: dict[str, str]
    fields: Fields
    own: OwnFields
    events: list[SpanEvent]
    start_us: int


def decode_span(record: Record, settings: ProjectSettings) -> Span:
    """What a span's record says on its own. The same record and settings give the same, whenever it is decoded.

    Raises:
        InvalidEvent: it can never be stored.
    """
    if record.source != SOURCE:
        raise InvalidEvent(f"Unknown source '{record.source[:64]}'", code="unknown_source")
    check_envelope(record)
    sent = _read(record, settings)
    span, attributes = sent.span, sent.attributes
    started_at, flags = from_us(sent.start_us), list[str]()
    end_us = span.end_time_unix_nano // 1_000
    if end_us < sent.start_us:
        end_us = sent.start_us
        flags.append("end_set_to_start")
    if any(span.parent_span_id) and not parent_of(span.parent_span_id):
        flags.append("parent_id_ignored")
    found = Span(
        record.project_id,
        span.trace_id.hex(),
        span.span_id.hex(),
        parent_of(span.parent_span_id).hex() or None,
        started_at,
        from_us(end_us),
        from_us(record.received_at_us),
        PostgresUUID(record.event_id),
    )
    found.session_id, found.session_name, found.user_id, found.explicit_path = sent.fields
    counts = read_counts(attributes)
    kind = kinds.kind_of(attributes.values, _kind_facts(sent), lambda: counts.reports_usage)
    if kind.name is None:
        return found
    models = _Models.read(sent)
    name = kinds.plain_name(span.name, models.request)
    found.segment = kinds.own_segment(kind, attributes.values, name)
    if kind.name == "span" and not settings.otlp_count_span_usage:
        counts = NO_COUNTS
    event = found.event = Event(
        record.project_id, found.event_id, kind.name, SOURCE, started_at, found.ended_at, found.received_at
    )
    event.flags = flags
    _set_origin(event, found, kinds.provisional_path(attributes.values, found.segment))
    _set_models(event, models, name, attributes)
    outcome = _set_outcome(event, sent)
    _set_usage(event, sent, counts)
    found.reports_usage = kind.name == "llm" and (counts.reports_usage or bool(event.cost_nanousd))
    _set_bodies(event, sent, models, outcome, counts)
    return found


def _read(record: Record, settings: ProjectSettings) -> _Sent:
    try:
        data = trace_pb2.TracesData.FromString(bytes(record.content))
    except DecodeError as fault:
        raise InvalidEvent(f"Not a span's record: {fault}", code="not_a_record") from fault
    if [[len(scope.spans) for scope in within.scope_spans] for within in data.resource_spans] != [[1]]:
        raise InvalidEvent("Not a span's record: it holds another number than one", code="not_a_record")
    within = data.resource_spans[0]
    span = within.scope_spans[0].spans[0]
    check_span(span, record.received_at_us)
    values = read_attributes(span.attributes)
    helicone = _helicone_names(values)
    resource = _resource(within.resource)
    fields, own = span_fields(values, not parent_of(span.parent_span_id), helicone, resource, record.headers, settings)
    for name, text in zip(FIELD_NAMES[:4], fields, strict=True):
        check_text(name, text)
    mapped = mapped_values(values, resource.attributes, settings) if settings.mappings else {}
    attributes = Attributes(values)
    attributes.used.update(key for name, key in own.keys.items() if name not in mapped and name != "request_id")
    if own.request_id and parse_uuid(own.request_id):
        attributes.used.add(own.keys["request_id"])
    events = [SpanEvent(event.name, event.time_unix_nano, read_attributes(event.attributes)) for event in span.events]
    start_us = span.start_time_unix_nano // 1_000
    return _Sent(record, settings, within, span, resource, attributes, helicone, mapped, fields, own, events, start_us)


def _resource(resource: resource_pb2.Resource) -> ResourceFields:
    encoded = resource.SerializeToString()
    return _cached_resource(encoded) if len(encoded) <= _CACHED_BYTES_MAX else resource_fields(resource.attributes)


@lru_cache(maxsize=256)
def _cached_resource(encoded: bytes) -> ResourceFields:
    """A process sends the same resource with each of its exports. What is returned is shared and never changed."""
    return resource_fields(resource_pb2.Resource.FromString(encoded).attributes)


def _helicone_names(values: dict[str, Any]) -> dict[str, str]:
    """Attribute -> Helicone name. Those whose values are secret are taken out of `values`."""
    names = {}
    for key in [key for key in values if key[:1] in HELICONE_FIRST_CHARACTERS]:
        name = helicone_name(key)
        if not name:
            continue
        if name.lower() == property_tables.POSTHOG_KEY:
            values[key] = "true"
        if name.lower() == property_tables.CREDENTIAL:
            del values[key]
        else:
            names[key] = name
    return names


def _kind_facts(sent: _Sent) -> kinds.Facts:
    is_mapped = any(
        mapping.field == "session_id" and mapping.scope == "span" and sent.attributes.peek(mapping.attribute)
        for mapping in sent.settings.mappings
    )
    return kinds.Facts(
        sent.span.kind,
        {event.name for event in sent.events},
        bool(sent.own.fields.session_id) or is_mapped,
        bool(sent.own.fields.path),
        bool(sent.helicone),
    )


class _Models(NamedTuple):
    mapped: str | None
    override: str | None
    response: str | None
    request: str | None
    provider: str

    @classmethod
    def read(cls, sent: _Sent) -> "_Models":
        attributes = sent.attributes
        override = None
        for prefix in HELICONE_SPELLINGS if sent.helicone else ():
            for key, name in sent.helicone.items():
                if name.lower() == property_tables.MODEL_OVERRIDE and key.lower().startswith(prefix):
                    override = override or attributes.text(key)
        return cls(
            sent.mapped.get("model"),
            override,
            attributes.text(*model_tables.RESPONSE_MODEL),
            attributes.text(*model_tables.REQUEST_MODEL),
            model_tables.provider_label(sent.mapped.get("provider") or attributes.text(*model_tables.PROVIDER)),
        )


def _set_origin(event: Event, found: Span, provisional_path: str) -> None:
    event.session_id, event.session_name = found.session_id, found.session_name
    event.user_id = found.user_id or ""
    event.path = found.explicit_path or provisional_path
    event.trace_id, event.span_id, event.parent_span_id = found.trace_id, found.span_id, found.parent_span_id


def _set_models(event: Event, models: _Models, name: str, attributes: Attributes) -> None:
    flags = event.flags
    event.model_override = fitted(models.override, flags)
    event.response_model = fitted(models.response, flags)
    event.request_model = fitted(models.request, flags)
    event.provider = fitted(models.provider, flags) or model_tables.NO_PROVIDER
    if event.kind == "span":
        return
    if event.kind == "tool":
        name = attributes.text(*kind_tables.SEGMENT_NAMES["tool"]) or name
    model = models.mapped or models.override or models.response or models.request
    event.model = fitted(label(event.kind, name, model), flags) or "unknown"


def _set_outcome(event: Event, sent: _Sent) -> Outcome:
    exceptions = [found.attributes for found in sent.events if found.name == "exception"]
    outcome = outcome_of(sent.span.status, sent.attributes, exceptions)
    event.status, event.is_error = outcome.status, outcome.is_error
    event.error_type = fitted(outcome.error_type, event.flags)
    event.error_message = fitted_message(outcome.error_message, event.flags)
    return outcome


def _set_usage(event: Event, sent: _Sent, counts: Counts) -> None:
    attributes = sent.attributes
    if event.kind != "span" or sent.settings.otlp_count_span_usage:
        set_tokens(event, net_tokens(counts, event.flags))
        event.cost_nanousd = read_cost(attributes, event.flags)
        attributes.used |= counts.used
    event.time_to_first_token_us = first_token_us(attributes, sent.start_us)


def _set_bodies(event: Event, sent: _Sent, models: _Models, outcome: Outcome, counts: Counts) -> None:
    attributes = sent.attributes
    used_events: set[int] = set()
    usage = usage_body(counts) if counts.found and event.kind == "llm" else None
    step = Step(event.kind, _step_name(event, sent), models.request, models.response, usage, outcome)
    taken = value_of(INPUT, attributes, sent.events, used_events)
    request = request_body(step, attributes, taken)
    response = response_body(step, attributes, value_of(OUTPUT, attributes, sent.events, used_events))
    properties, surplus = read_properties(
        attributes, sent.helicone, sent.resource.attributes, sent.mapped, sent.record.headers
    )
    event.properties = properties.found
    if properties.is_over_limit:
        event.flags.append("properties_over_limit")
    if _SPILL in request:
        request = {"input": request}
    made = spilled(sent.span, attributes, surplus, sent.events, used_events)
    request[_SPILL] = made | origin(sent.resource.attributes, sent.within.scope_spans[0], sent.within)
    event.decoded_request_body, event.decoded_response_body = json_text(request), json_text(response)


def _step_name(event: Event, sent: _Sent) -> str:
    """The name in a typed body: the label's own, so that both say the same."""
    _, _, name = event.model.partition(":")
    return name if event.kind in ("tool", "data") else sent.span.name
