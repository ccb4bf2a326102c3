"""Goal: nothing that a project's rules take is left in an OpenTelemetry message, in whichever place it stood."""

import json
from dataclasses import replace

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from infra.project_settings import parse_settings
from ingest.masked_span import mask_message
from ingest.masking import Masker, masker_of
from tests.unit.ingest.doors import WRITER

MARKER = "MARKER-5f3a"
TRACE, SPAN = bytes(range(16)), bytes(range(8))


@pytest.fixture
def masker() -> Masker:
    rules = [{"key": "password"}, {"key": "Content"}, {"builtin": "email"}, {"pattern": "MARKER-[0-9a-f]+"}]
    mappings = [{"field": "session_id", "attribute": "my.run"}]
    settings = parse_settings(json.dumps({"masking": rules, "mappings": mappings}))
    masker = masker_of(replace(WRITER, settings=settings))
    assert masker is not None
    return masker


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def everywhere(marker: str) -> ResourceSpans:
    """Spans with a marker in each place that holds text of the sender's choice."""
    message = ResourceSpans(schema_url=marker)
    nested = KeyValueList(values=[text("a", marker), text("password", "hidden")])
    attributes = [
        text("a", marker),
        text(marker, "b"),
        text("my.run", marker),
        text("session.id", marker),
        text("Helicone-User-Id", marker),
        text("db.password", "hidden"),
        text("gen_ai.prompt.0.content", "hidden"),
        text("traceloop.association.properties.Helicone-Property-Password", "hidden"),
        text("input.value", json.dumps({"messages": [marker], "password": {"x": "hidden"}})),
        KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=marker)]))),
        KeyValue(key="map", value=AnyValue(kvlist_value=nested)),
        KeyValue(key="bytes", value=AnyValue(bytes_value=marker.encode())),
        KeyValue(key="password", value=AnyValue(int_value=714_253)),
    ]
    message.resource.attributes.extend(attributes)
    scope = message.scope_spans.add(schema_url=marker)
    scope.scope.name, scope.scope.version = marker, marker
    scope.scope.attributes.extend(attributes)
    span = scope.spans.add(trace_id=TRACE, span_id=SPAN, name=marker, trace_state=marker, start_time_unix_nano=5)
    span.status.message = marker
    span.attributes.extend(attributes)
    event = span.events.add(name=marker, time_unix_nano=6)
    event.attributes.extend(attributes)
    link = span.links.add(trace_id=TRACE, span_id=SPAN, trace_state=marker)
    link.attributes.extend(attributes)
    return message


def left(message: Message) -> str:
    return str(message) + repr(message.SerializeToString())


def test_no_place_of_a_span_keeps_the_marker(masker: Masker) -> None:
    message = everywhere(MARKER)
    mask_message(message, masker)
    assert MARKER not in left(message)
    assert "hidden" not in left(message)
    assert "714253" not in left(message)
    span = message.scope_spans[0].spans[0]
    assert (span.trace_id, span.span_id, span.start_time_unix_nano) == (TRACE, SPAN, 5)
    assert span.attributes[8].value.string_value == json.dumps({"messages": ["[masked]"], "password": "[masked]"})


def test_a_message_without_a_match_is_unchanged(masker: Masker) -> None:
    message = ResourceSpans()
    message.resource.attributes.append(text("service.name", "agent"))
    span = message.scope_spans.add().spans.add(trace_id=TRACE, span_id=SPAN, name="chat")
    span.attributes.append(KeyValue(key="n", value=AnyValue(double_value=1.5)))
    before = message.SerializeToString(deterministic=True)
    mask_message(message, masker)
    assert message.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    "key",
    [
        "my.run",
        "session.id",
        "Helicone-Session-Id",
        "langfuse.session.id",
        "gen_ai.conversation.id",
        "traceloop.association.properties.session_id",
        "langfuse.trace.metadata.helicone-session-id",
        "mlflow.trace.session",
        "langsmith.metadata.thread_id",
        "langsmith.metadata.conversation_id",
        "langfuse.observation.metadata.langfuse_session_id",
        "ai.telemetry.metadata.sessionId",
        "session.previous_id",
    ],
)
def test_session_ids_stay_apart(masker: Masker, key: str) -> None:
    spans = [Span(attributes=[text(key, f"run of {name}@x.example")]) for name in ("alice", "bob", "alice")]
    for span in spans:
        mask_message(span, masker)
    one, other, same = (span.attributes[0].value.string_value for span in spans)
    assert one == same != other
    assert "example" not in one
    # As the native door names the same session.
    assert one == masker.identifier("run of alice@x.example", "session_id")


def test_what_the_protocol_does_not_know_is_left_out(masker: Masker) -> None:
    field_of_tomorrow = b"\xfa\x7f" + bytes([len(MARKER)]) + MARKER.encode()
    span = Span.FromString(Span(name="x").SerializeToString() + field_of_tomorrow)
    assert MARKER in left(span)
    mask_message(span, masker)
    assert MARKER not in left(span)
    assert span.name == "x"


def test_log_records_are_masked_too(masker: Masker) -> None:
    log = LogRecord(severity_text=MARKER, body=AnyValue(string_value=MARKER), attributes=[text("session.id", MARKER)])
    mask_message(log, masker)
    assert MARKER not in left(log)
