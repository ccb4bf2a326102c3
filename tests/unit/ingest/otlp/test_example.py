"""Goal: the complete example of otlp.md section 15, each span on its own; and any input is decoded or refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from infra.project_settings import DEFAULTS
from ingest.decode import otlp
from ingest.decode.record import decode
from ingest.event import InvalidEvent
from tests.unit.ingest.otlp.spans import any_value, decoded, record_of, request_of, response_of, span_of, spans_of_json

TRACE_ID = "5b8efff798038103d269b633813fc60c"


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def test_the_complete_example() -> None:
    spans = [
        {
            "traceId": TRACE_ID.upper(),
            "spanId": "EEE19B7EC3C1B173",
            "name": "invoke_agent planner",
            "kind": 1,
            "startTimeUnixNano": "1767225600000000000",
            "endTimeUnixNano": "1767225603000000000",
            "attributes": [
                attribute("gen_ai.operation.name", stringValue="invoke_agent"),
                attribute("gen_ai.agent.name", stringValue="planner"),
                attribute("gen_ai.conversation.id", stringValue="conv-42"),
            ],
        },
        {
            "traceId": TRACE_ID,
            "spanId": "eee19b7ec3c1b174",
            "parentSpanId": "eee19b7ec3c1b173",
            "name": "chat gpt-4o-mini",
            "kind": 3,
            "startTimeUnixNano": "1767225600500000000",
            "endTimeUnixNano": "1767225602000000000",
            "attributes": [
                attribute("gen_ai.operation.name", stringValue="chat"),
                attribute("gen_ai.provider.name", stringValue="openai"),
                attribute("gen_ai.request.model", stringValue="gpt-4o-mini"),
                attribute("gen_ai.usage.input_tokens", intValue="120"),
                attribute("gen_ai.usage.cache_read.input_tokens", intValue=100),
                attribute("gen_ai.usage.output_tokens", intValue="30"),
            ],
        },
        {
            "traceId": TRACE_ID,
            "spanId": "eee19b7ec3c1b175",
            "parentSpanId": "eee19b7ec3c1b173",
            "name": "execute_tool get_weather",
            "kind": 1,
            "startTimeUnixNano": "1767225602000000000",
            "endTimeUnixNano": "1767225602400000000",
            "attributes": [
                attribute("gen_ai.operation.name", stringValue="execute_tool"),
                attribute("gen_ai.tool.name", stringValue="get_weather"),
                attribute("error.type", stringValue="TimeoutError"),
            ],
            "status": {"code": 2, "message": "no answer"},
        },
    ]
    resource = {"attributes": [attribute("service.name", stringValue="travel")]}
    export = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "demo"}, "spans": spans}]}]}
    agent, chat, tool = spans_of_json(export)
    assert agent.event and chat.event and tool.event
    assert (agent.trace_id, agent.span_id, agent.parent_span_id) == (TRACE_ID, "eee19b7ec3c1b173", None)
    assert (chat.trace_id, chat.parent_span_id) == (TRACE_ID, "eee19b7ec3c1b173")
    assert [span.event and span.event.kind for span in (agent, chat, tool)] == ["span", "llm", "tool"]
    assert [span.session_id for span in (agent, chat, tool)] == ["conv-42", None, None]
    assert [span.segment for span in (agent, chat, tool)] == ["planner", "chat", "get_weather"]
    assert [event.model for event in (agent.event, chat.event, tool.event)] == ["", "gpt-4o-mini", "tool:get_weather"]
    assert [event.status for event in (agent.event, chat.event, tool.event)] == [200, 200, -1]
    event = chat.event
    assert (event.prompt_tokens, event.cache_read_tokens, event.completion_tokens) == (20, 100, 30)
    assert [span.reports_usage for span in (agent, chat, tool)] == [False, True, False]
    assert (event.provider, event.properties) == ("OPENAI", {"service.name": "travel"})
    assert (tool.event.error_type, tool.event.error_message) == ("TimeoutError", "no answer")
    assert (event.ended_at - event.started_at).total_seconds() == 1.5


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"\xff\xff\xff",
        TracesData(resource_spans=[ResourceSpans()]).SerializeToString(),
        TracesData(
            resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[Span(), Span()])])]
        ).SerializeToString(),
    ],
)
def test_what_is_no_record_of_a_span_is_refused(message: bytes) -> None:
    record = msgspec.structs.replace(record_of(span_of({})), content=msgspec.Raw(message))
    with pytest.raises(InvalidEvent) as refused:
        otlp.decode_span(record, DEFAULTS)
    assert refused.value.code == "not_a_record"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"source": "native"}, "unknown_source"),
        ({"event_id": "x"}, "invalid_id"),
        ({"project_id": 0}, "unknown_project"),
    ],
)
def test_a_record_of_another_kind_is_refused(fields: dict[str, Any], code: str) -> None:
    record = msgspec.structs.replace(record_of(span_of({})), **fields)
    with pytest.raises(InvalidEvent) as refused:
        otlp.decode_span(record, DEFAULTS)
    assert refused.value.code == code


def test_a_span_is_no_record_of_the_topic_of_events() -> None:
    with pytest.raises(InvalidEvent, match="Unknown source 'otlp'"):
        decode(record_of(span_of({})))


NAMES = st.sampled_from(
    [
        "langfuse.observation.type",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "langfuse.observation.usage_details",
        "langfuse.observation.cost_details",
        "langfuse.observation.completion_start_time",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.request.model",
        "gen_ai.response.finish_reasons",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.cost",
        "gen_ai.prompt.0.content",
        "gen_ai.prompt.0.tool_calls.1.name",
        "llm.input_messages.0.message.role",
        "llm.input_messages.0.message.contents.0.message_content.text",
        "llm.invocation_parameters",
        "retrieval.documents.0.document.metadata",
        "metadata",
        "tag.tags",
        "session.id",
        "Helicone-Property-A",
        "Helicone-Session-Path",
        "error.type",
        "input.value",
        "output.value",
        "traceloop.entity.path",
    ]
)
PARTS = st.sampled_from(["text", "tool_call", "tool_call_response", "reasoning", "image"])
JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | PARTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["role", "parts", "type", "content", "choices", "otel", "error", "a"]), inner)
    ),
    max_leaves=12,
).map(json.dumps)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=16)
    | st.binary(max_size=8)
    | JSON_TEXTS
    | st.sampled_from(
        ["LLM", "tool", "retriever", "guardrail", "chain", "[" * 5_000, "[" * 800 + "]" * 800, "1" * 400]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.dictionaries(NAMES | st.text(max_size=8), VALUES, max_size=8),
    st.sampled_from(["generation", "tool", "retriever", "event", "span", None]),
    st.sampled_from([0, 2]),
)
def test_any_attributes_decode_to_valid_json_or_are_refused(
    attributes: dict[str, Any], kind: str | None, status: int
) -> None:
    if kind is not None:
        attributes = {**attributes, "langfuse.observation.type": kind}
    try:
        event = decoded(attributes, status=(status, ""), events={"exception": attributes}).event
    except InvalidEvent as refused:
        assert refused.code == "too_long"
        return
    if event is not None:
        assert event.decoded_request_body is not None and event.decoded_response_body is not None
        for body in (event.decoded_request_body, event.decoded_response_body):
            json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
            assert isinstance(msgspec.json.decode(body), dict)
        texts = (
            event.path,
            event.session_id,
            event.user_id,
            event.model,
            event.error_message,
            *event.properties.values(),
        )
        assert not any("\0" in text for text in texts if text)


def length(encoded: bytes) -> bytes:
    """How protobuf writes a length."""
    rest, written = len(encoded), b""
    while rest > 127:
        written, rest = written + bytes([rest & 127 | 128]), rest >> 7
    return written + bytes([rest])


def test_a_value_nested_deeper_than_protobuf_reads_is_refused() -> None:
    deep = AnyValue(string_value="x").SerializeToString()
    for _ in range(200):
        deep = b"\x2a" + length(array := b"\x0a" + length(deep) + deep) + array
    attribute = KeyValue(key="input.value").SerializeToString() + b"\x12" + length(deep) + deep
    span = span_of({}).SerializeToString() + b"\x4a" + length(attribute) + attribute
    scope = b"\x12" + length(span) + span
    resource = b"\x12" + length(scope) + scope
    content = msgspec.Raw(b"\x0a" + length(resource) + resource)
    with pytest.raises(InvalidEvent, match="MaxDepth"):
        otlp.decode_span(msgspec.structs.replace(record_of(span_of({})), content=content), DEFAULTS)
    shallow = any_value([[[[["x"]]]]])
    found = decoded({"langfuse.observation.type": "generation", "input.value": shallow}).event
    assert found is not None
    assert request_of(found)["input"] == [[[[["x"]]]]]
    assert response_of(found) == {}
