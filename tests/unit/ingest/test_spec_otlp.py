"""Goal: bad input at the OTLP doors has its documented answer, and spans as six tracers write them become what
otlp.md says.

Method: calls over a publisher in memory, in both encodings, and what the published records decode to. The tables row by
row: the folder otlp; the rules of transport: test_otlp_door.py, test_otlp_json.py, test_otlp_rules.py.
"""

import gzip
import json
from typing import Any

import pytest

from infra.project_settings import DEFAULTS
from ingest.decode.otlp import Span, decode_span
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.otlp.spans import decoded, request_of, response_of
from tests.unit.ingest.otlp_exports import (
    ENCODINGS,
    JSON,
    PROTOBUF,
    START_NS,
    attributes,
    make_export,
    make_logs,
    make_span,
    message_of,
    partial_success,
    send,
    status_of,
)

both = pytest.mark.parametrize("encoding", ENCODINGS, ids=["protobuf", "json"])
paths = pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/trace/log", "/v1/trace/log-python"])
YEAR_9999_NS = 253_402_300_799_000_000_000


@pytest.fixture
def doors() -> Doors:
    return make_doors()


def spans_of(doors: Doors) -> list[Span]:
    return [decode_span(record, DEFAULTS) for record in doors.publisher.records]


@paths
@both
@pytest.mark.parametrize(
    ("body", "compressed", "status"),
    [
        (b"{" * 100, False, 400),
        (b'{"resourceSpans":[{"schemaUrl":"\xff"}],"resourceLogs":[{"schemaUrl":"\xff"}]}', False, 400),
        (gzip.compress(b"{}" * 100)[:-4], True, 400),
        (gzip.compress(b"{}" * 100)[:12], True, 400),
        (b"", True, 400),
        (b"{}", True, 400),
    ],
    ids=["nonsense", "not UTF-8", "cut gzip", "gzip without a body", "empty gzip", "no gzip"],
)
async def test_a_body_that_cannot_be_read(
    doors: Doors, encoding: str, path: str, body: bytes, compressed: bool, status: int
) -> None:
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    answer = await send(doors, body, encoding, path, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, encoding)
    code, text, place = status_of(answer)
    assert (code, bool(text), place) == (3, True, place or "body")
    assert doors.publisher.published == []


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
@pytest.mark.parametrize(
    "body",
    [b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"],
    ids=["NaN", "Infinity", "-Infinity", "deep"],
)
async def test_json_that_is_none(doors: Doors, path: str, body: bytes) -> None:
    answer = await send(doors, body, JSON, path)
    assert (answer.status_code, status_of(answer)[::2]) == (400, (3, "body"))
    assert status_of(answer)[1].startswith("Invalid JSON: ")


@both
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"startTimeUnixNano": str(2**64 - 1)}, "start time is in the future"),
        ({"endTimeUnixNano": str(2**64 - 1)}, "end time is in the future"),
        ({"attributes": attributes(session__id="x" * 100_000)}, "session id is longer than 1024 bytes"),
        ({"attributes": attributes(session__id="🎿" * 257)}, "session id is longer than 1024 bytes"),
    ],
    ids=["start", "end", "100 KB", "emoji"],
)
async def test_a_span_that_is_refused_alone(doors: Doors, encoding: str, changes: dict[str, Any], reason: str) -> None:
    answer = await send(doors, make_export(make_span(1, **changes), make_span(2)), encoding)
    assert partial_success(answer) == (1, f"1 span refused: {reason}")
    assert len(doors.publisher.published) == 1


@pytest.mark.parametrize("sent", ["-1", -1, 2**70, YEAR_9999_NS, str(2**70)])
async def test_a_time_in_json_that_its_field_cannot_hold(doors: Doors, sent: Any) -> None:
    answer = await send(doors, make_export(make_span(1, startTimeUnixNano=sent)))
    assert (answer.status_code, status_of(answer)[0]) == (400, 3)
    assert status_of(answer)[2] == "resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano"


@both
@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"stringValue": "🎿" * 256}, "🎿" * 256),
        ({"stringValue": "a\0b"}, "ab"),
        ({"intValue": "5"}, "5"),
        ({"boolValue": True}, "true"),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"arrayValue": {"values": [{"stringValue": "a"}]}}, '["a"]'),
        ({"stringValue": "\0"}, None),
        ({}, None),
    ],
)
async def test_session_ids_of_every_kind(doors: Doors, encoding: str, sent: dict[str, Any], text: str | None) -> None:
    answer = await send(doors, make_export(make_span(1, attributes=attributes(session__id=sent))), encoding)
    assert partial_success(answer) is None
    assert doors.publisher.records[0].session_id == text
    assert spans_of(doors)[0].session_id == text


@both
async def test_of_an_attribute_sent_twice_the_last_counts(doors: Doors, encoding: str) -> None:
    twice = attributes(session__id="one") + attributes(session__id="two")
    await send(doors, make_export(make_span(1, attributes=twice)), encoding)
    assert (doors.publisher.records[0].session_id, spans_of(doors)[0].session_id) == ("two", "two")


@both
async def test_secrets_are_in_no_part_of_a_record(doors: Doors, encoding: str) -> None:
    secret = [{"key": key, "value": {"stringValue": "hush"}} for key in ("Helicone-Auth", "Helicone-Posthog-Key")]
    span = make_span(
        1,
        kind=1,
        attributes=secret,
        events=[{"name": "e", "attributes": secret}],
        links=[{"traceId": "ab" * 16, "spanId": "cd" * 8, "attributes": secret}],
    )
    export = make_export(span)
    export["resourceSpans"][0]["resource"]["attributes"] += secret
    export["resourceSpans"][0]["scopeSpans"][0]["scope"]["attributes"] = secret
    headers = {"Helicone-Posthog-Key": "hush", "Helicone-Property-A": "x"}
    assert partial_success(await send(doors, export, encoding, **headers)) is None
    [record] = doors.publisher.records
    event = spans_of(doors)[0].event
    assert event is not None
    assert event.properties["Helicone-Sent-To-Posthog"] == "true"
    assert "hush" not in str(event) + str(record.headers)
    message = message_of(record)
    assert b"hush" not in message.SerializeToString()
    assert message.resource_spans[0].scope_spans[0].spans[0].links[0].trace_id == b"\xab" * 16


@both
@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"timeUnixNano": str(2**64 - 1), "attributes": attributes(session__id="s")}, "in the future"),
        ({"attributes": attributes(session__id="s")}, "has no time"),
        ({"timeUnixNano": str(START_NS)}, "has no session.id"),
        (
            {"timeUnixNano": str(START_NS), "attributes": attributes(session__id="s" * 100_000)},
            "longer than 1024 bytes",
        ),
        ({"timeUnixNano": str(START_NS), "attributes": attributes(session__id="🎿" * 257)}, "longer than 1024 bytes"),
    ],
    ids=["year 9999", "no time", "no id", "100 KB", "emoji"],
)
async def test_an_end_that_is_refused(doors: Doors, encoding: str, record: dict[str, Any], reason: str) -> None:
    answer = await send(doors, make_logs({"eventName": "session.end", **record}), encoding, "/v1/logs")
    said = partial_success(answer)
    assert said is not None
    assert (said[0], reason in said[1]) == (1, True)
    assert doors.publisher.published == []


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
async def test_no_body_at_all(doors: Doors, path: str) -> None:
    assert partial_success(await send(doors, b"", PROTOBUF, path)) is None
    assert (await send(doors, b"", JSON, path)).status_code == 400


MESSAGES = '[{"role":"user","content":"hi"}]'
TRACERS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, ...]]] = {
    "LangSmith": (
        {
            "langsmith.span.kind": "llm",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "langsmith.metadata.session_id": "s",
            "langsmith.trace.session_id": "a project",
            "langsmith.metadata.team": "t",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 30,
            "gen_ai.usage.input_token_details": '{"cache_read":40,"cache_creation":10}',
            "gen_ai.usage.output_token_details": '{"reasoning":5}',
            "gen_ai.prompt": '{"messages":' + MESSAGES + "}",
            "gen_ai.completion": '{"choices":[{"message":{"role":"assistant","content":"yo"}}]}',
        },
        {"provider": "OPENAI", "model": "gpt-4o", "properties": {"team": "t"}},
        (50, 25, 40, 10, 5),
    ),
    "MLflow": (
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": '{"messages":' + MESSAGES + ',"model":"gpt-4o"}',
            "mlflow.spanOutputs": '{"choices":[{"message":{"role":"assistant","content":"yo"}}]}',
            "mlflow.chat.tokenUsage": '{"input_tokens":12,"output_tokens":3,"cache_read_input_tokens":4}',
            "mlflow.llm.model": '"gpt-4o"',
            "mlflow.llm.provider": '"openai"',
            "mlflow.llm.cost": '{"total_cost":0.3}',
            "mlflow.trace.session": '"s"',
            "mlflow.trace.user": '"bob"',
        },
        {"provider": "OPENAI", "model": "gpt-4o", "cost_nanousd": 300_000_000, "user_id": "bob"},
        (8, 3, 4, 0, 0),
    ),
    "OpenInference": (
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.provider": "openai",
            "llm.token_count.prompt": 50,
            "llm.token_count.completion": 20,
            "llm.token_count.prompt_details.cache_read": 10,
            "llm.token_count.completion_details.reasoning": 4,
            "llm.cost.prompt": 0.001,
            "llm.cost.completion": 0.002,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "hi",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "yo",
            "session.id": "s",
            "user.id": "bob",
            "metadata": '{"team":"t"}',
        },
        {"provider": "OPENAI", "cost_nanousd": 3_000_000, "user_id": "bob", "properties": {"team": "t"}},
        (40, 16, 10, 0, 4),
    ),
    "Traceloop": (
        {
            "llm.request.type": "chat",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.usage.prompt_tokens": 10,
            "gen_ai.usage.completion_tokens": 5,
            "llm.usage.total_tokens": 15,
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "hi",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "yo",
            "gen_ai.completion.0.finish_reason": "stop",
            "traceloop.association.properties.session_id": "s",
            "traceloop.association.properties.Helicone-Property-Team": "t",
        },
        {"provider": "OPENAI", "model": "gpt-4o-2024", "request_model": "gpt-4o", "properties": {"Team": "t"}},
        (10, 5, 0, 0, 0),
    ),
    "Langfuse": (
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": '{"input":10,"output":5,"input_cached_tokens":3,"total":18}',
            "langfuse.observation.cost_details": '{"input":0.1,"output":0.2}',
            "langfuse.observation.input": MESSAGES,
            "langfuse.observation.output": '{"role":"assistant","content":"yo"}',
            "langfuse.observation.completion_start_time": '"2026-01-01T00:00:00.250Z"',
            "langfuse.session.id": "s",
            "langfuse.user.id": "bob",
            "langfuse.trace.metadata.team": "t",
        },
        {"cost_nanousd": 300_000_000, "time_to_first_token_us": 250_000, "user_id": "bob", "properties": {"team": "t"}},
        (10, 5, 3, 0, 0),
    ),
}


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_span_as_a_tracer_writes_it(tracer: str) -> None:
    said, fields, tokens = TRACERS[tracer]
    span = decoded(said, name="work")
    event = span.event
    assert event is not None
    assert (event.kind, span.session_id, event.status, event.flags) == ("llm", "s", 200, [])
    assert {name: getattr(event, name) for name in fields} == fields
    counted = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    assert tuple(getattr(event, name) for name in counted) == tokens
    assert request_of(event)["messages"] == json.loads(MESSAGES)
    assert response_of(event)["choices"][0]["message"] == {"role": "assistant", "content": "yo"}


def test_a_span_of_the_ai_sdk_of_vercel() -> None:
    """It names its calls in ways of its own: the model makes the inner span an llm event, the outer one a step."""
    shared = {"ai.telemetry.metadata.sessionId": "s", "ai.telemetry.metadata.userId": "bob", "ai.model.id": "gpt-4o"}
    inner = decoded(
        shared
        | {
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.output_tokens": 3,
            "ai.response.msToFirstChunk": 123.4,
            "ai.telemetry.metadata.team": "t",
        }
    )
    outer = decoded(shared | {"ai.usage.promptTokens": 9})
    assert inner.event is not None
    assert outer.event is not None
    assert (inner.event.kind, inner.event.model, inner.event.prompt_tokens) == ("llm", "gpt-4o", 9)
    assert (inner.event.time_to_first_token_us, inner.event.properties) == (123_400, {"team": "t"})
    assert (inner.session_id, inner.user_id) == ("s", "bob")
    assert (outer.event.kind, outer.event.prompt_tokens, outer.session_id) == ("span", 0, "s")
