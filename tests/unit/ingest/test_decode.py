"""Goal: what is decoded is what the tables of the specification say. Method: one case a row, records built by hand."""

import json
from typing import Any

import msgspec
import pytest

from ingest.decode.record import decode
from ingest.decode.usage import Tokens, native_tokens, response_tokens
from ingest.event import TOKENS_MAX, Event, InvalidEvent, Record, from_us

ID = "3b241101-e2bb-4255-8caf-4136c566a962"
RECEIVED_AT_US = 1_795_514_400_000_000


def record(source: str, content: Any, **fields: Any) -> Record:
    """A record of source `source`; `request` and `response` are given as values."""
    for side in {"request", "response"} & fields.keys():
        fields[side] = msgspec.Raw(json.dumps(fields[side]).encode())
    built = Record(1, source, 1, 1, ID, RECEIVED_AT_US, msgspec.Raw(json.dumps(content).encode()))
    return msgspec.structs.replace(built, **fields)


def log(request: Any = None, response: Any = None, *, provider: str = "CUSTOM", **content: Any) -> Event:
    sent = {
        "providerRequest": {"url": content.pop("url", "u")},
        "providerResponse": {"status": content.pop("status", 200)},
    }
    return decode(record(f"helicone.{provider}", sent | content, request=request or {}, response=response))


def stream(text: str, *, provider: str = "OPENAI", status: int = 200) -> Event:
    return log({}, text, provider=provider, status=status, responseIsText=True)


def body_of(event: Event) -> Any:
    assert event.decoded_response_body is not None
    return json.loads(event.decoded_response_body)


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (
            {
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5, "audio_tokens": 3},
                    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 4},
                }
            },
            Tokens(82, 26, 10, 5, 20, 3, 4),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 9,
                    "prompt_tokens_details": {"cache_write_details": {"write_5m_tokens": 1, "write_1h_tokens": 2}},
                }
            },
            Tokens(6, 0, 0, 3),
        ),
        ({"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}}, Tokens(5, 0, 9)),
        (
            {
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 4},
                    "output_tokens_details": {"reasoning_tokens": 5},
                }
            },
            Tokens(6, 4, 4, 0, 5),
        ),
        (
            {
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 9,
                    "cache_read_input_tokens": 4,
                    "cache_creation_input_tokens": 2,
                }
            },
            Tokens(10, 9, 4, 2),
        ),
        (
            {
                "usage": {
                    "input_tokens": 1,
                    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
                }
            },
            Tokens(1, 0, 0, 5),
        ),
        ({"input_tokens": 12}, Tokens(12)),
        (
            {"usage": {"inputTokens": 10, "outputTokens": 8, "cachedInputTokens": 3, "reasoningTokens": 2}},
            Tokens(7, 6, 3, 0, 2),
        ),
        (
            {
                "usageMetadata": {
                    "promptTokenCount": 10,
                    "toolUsePromptTokenCount": 5,
                    "candidatesTokenCount": 8,
                    "cachedContentTokenCount": 3,
                    "thoughtsTokenCount": 7,
                    "promptTokensDetails": [
                        {"modality": "AUDIO", "tokenCount": 2},
                        {"modality": "TEXT", "tokenCount": 8},
                    ],
                    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
                }
            },
            Tokens(10, 7, 3, 0, 7, 2, 1),
        ),
        ({"name": "cachedContents/1", "usageMetadata": {"totalTokenCount": 99}}, Tokens(0, 0, 0, 99)),
        (
            {
                "prompt_token_count": 1,
                "generation_token_count": 2,
                "prompt_cache_read_token_count": 3,
                "prompt_cache_write_token_count": 4,
            },
            Tokens(1, 2, 3, 4),
        ),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": "7"}}, Tokens()),
        ({"usage": {"prompt_tokens": True, "completion_tokens": 2.9}}, Tokens(0, 2)),
        ({"usage": []}, Tokens()),
    ],
)
def test_token_shapes(response: dict[str, Any], tokens: Tokens) -> None:
    flags: list[str] = []
    assert response_tokens(response, flags) == tokens
    assert flags == []


def test_native_usage_takes_any_shape() -> None:
    assert native_tokens({"prompt_tokens": 5, "cache_read_tokens": 9, "audio_tokens": 1}, []) == Tokens(
        5, 0, 9, 0, 0, 1
    )
    assert native_tokens({"inputTokens": 5}, []) == Tokens(5)
    assert native_tokens({"promptTokenCount": 5}, []) == Tokens(5)
    assert native_tokens({"usage": {"input_tokens": 5}}, []) == Tokens(5)
    assert native_tokens("many", []) == Tokens()


def test_absurd_counts_and_costs_are_clamped_and_flagged() -> None:
    event = log({}, {"usage": {"prompt_tokens": 2**70, "completion_tokens": 1e300, "cost": 1e9}})
    assert (event.prompt_tokens, event.completion_tokens) == (TOKENS_MAX, TOKENS_MAX)
    assert event.cost_nanousd == 10**15
    assert event.flags == ["tokens_clamped", "cost_clamped"]
    native = decode(record("native", {"usage": {"prompt_tokens": 2**70}}))
    assert (native.prompt_tokens, native.flags) == (TOKENS_MAX, ["tokens_clamped"])


@pytest.mark.parametrize(
    ("response", "extra", "nanousd"),
    [
        ({"usage": {"cost": 0.1}}, {"providerResponse": {"status": 200, "cost": 0.0000000025}}, 2),
        ({"usage": {"cost": 0.1}}, {"providerResponse": {"status": 200, "cost": -1}}, 100_000_000),
        ({"usage": {"cost": 0, "cost_details": {"upstream_inference_cost": 2}}}, {}, 2_000_000_000),
        ({"usage": {"cost": "1"}}, {}, None),
        ({}, {"providerResponse": {"status": 200, "cost": 0}}, 0),
    ],
)
def test_reported_costs(response: Any, extra: Any, nanousd: int | None) -> None:
    assert log({}, response, **extra).cost_nanousd == nanousd


@pytest.mark.parametrize(
    ("request_body", "response", "kind", "model"),
    [
        ({"_type": "tool", "toolName": "t"}, {"_type": "tool", "toolName": "u"}, "tool", "tool:u"),
        ({"_type": "tool", "toolName": "t"}, {"_type": "unknown", "toolName": "unknown"}, "tool", "tool:t"),
        ({"_type": "tool"}, {"_type": "tool"}, "tool", "tool:unknown"),
        ({"_type": "data", "name": "n"}, {"_type": "data"}, "data", "data:n"),
        ({"_type": "vector_db", "operation": "odd"}, {}, "vector_db", "vector_db"),
        ({"model": "a"}, {"_type": "unknown", "model": ""}, "llm", "a"),
        ({"model": "a"}, {"model": "b"}, "llm", "b"),
        ({}, {"body": {"modelVersion": "c"}}, "llm", "c"),
        ({}, {"modelVersion": "d"}, "llm", "d"),
        ({}, {"providerMetadata": {"gateway": {"routing": {"originalModelId": "e"}}}}, "llm", "e"),
        ({"model": 5}, ["odd"], "llm", "unknown"),
        ({}, [{"candidates": []}, {"modelVersion": "g", "usageMetadata": {"promptTokenCount": 3}}], "llm", "g"),
    ],
)
def test_kinds_and_models(request_body: Any, response: Any, kind: str, model: str) -> None:
    event = log(request_body, response)
    assert (event.kind, event.model) == (kind, model)


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://x/engines/davinci/completions", "davinci"),
        ("https://x/v1beta/models/gemini-2:generateContent", "gemini-2"),
        ("https://x/model/claude/invoke", "claude"),
        ("custom-model-nopath", "unknown"),
    ],
)
def test_the_model_in_the_address(url: str, model: str) -> None:
    assert log({}, {}, url=url).model == model


def test_a_failed_data_step_is_an_error() -> None:
    event = log({"_type": "data", "name": "n"}, {"_type": "data", "status": "error", "message": "no disk"})
    assert (event.status, event.is_error, event.error_message) == (200, True, "no disk")


@pytest.mark.parametrize(
    ("status", "is_error"), [(-1, True), (-2, False), (-3, True), (-4, True), (399, False), (400, True)]
)
def test_error_statuses(status: int, is_error: bool) -> None:
    assert log({}, {}, status=status).is_error is is_error
    assert decode(record("native", {"status": status})).is_error is is_error


def test_chat_streams_fold_with_their_tools() -> None:
    chunks = [
        {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "He"}}]},
        {
            "id": "2",
            "choices": [
                {
                    "index": 0,
                    "delta": {
                        "content": "y",
                        "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a"'}}],
                    },
                }
            ],
        },
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
                    "finish_reason": "stop",
                }
            ]
        },
        {"choices": [], "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}},
    ]
    event = stream("".join(f"event: x\ndata: {json.dumps(chunk)}\n\n" for chunk in chunks) + ": ping\ndata: [DONE]\n")
    body = body_of(event)
    message = body["choices"][0]["message"]
    assert (body["id"], message["content"]) == ("1", "Hey")
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert body["streamed_data"] == chunks
    assert (event.prompt_tokens, event.completion_tokens, event.model) == (1, 2, "m")


def test_anthropic_streams_fold() -> None:
    chunks = [
        {
            "type": "message_start",
            "message": {"model": "claude", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "f", "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "end"}, "usage": {"output_tokens": 9}},
    ]
    event = log({}, {"streamed_data": chunks}, provider="ANTHROPIC")
    body = body_of(event)
    assert body["content"] == [{"type": "text", "text": "Hi"}, {"type": "tool_use", "name": "f", "input": {"a": 1}}]
    assert (body["stop_reason"], event.prompt_tokens, event.completion_tokens) == ("end", 5, 9)
    failed = log(
        {},
        {"streamed_data": [*chunks, {"type": "error", "error": {"type": "over", "message": "full"}}]},
        provider="ANTHROPIC",
    )
    assert (failed.status, failed.is_error, failed.error_type, failed.error_message) == (500, True, "over", "full")


def test_other_streams_fold() -> None:
    responses = [
        {"type": "response.created", "response": {"id": 1}},
        {"type": "response.completed", "response": {"id": 2, "model": "o"}},
    ]
    assert log({}, {"streamed_data": responses}).model == "o"
    google = [
        {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "modelVersion": "g"},
        {
            "candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 4},
        },
    ]
    event = log({}, {"streamed_data": google})
    assert body_of(event)["candidates"][0] == {"content": {"parts": [{"text": "ab"}]}, "finishReason": "STOP"}
    assert (event.model, event.prompt_tokens) == ("g", 4)
    assert body_of(log({}, {"streamed_data": [{"odd": 1}]})) == {"streamed_data": [{"odd": 1}]}


@pytest.mark.parametrize(
    ("text", "status", "body"),
    [
        (' {"a": 1.50} ', 200, {"a": 1.5}),
        ("[1]", 200, [1]),
        ('{"odd": 1}\n{"cut', 200, {"streamed_data": [{"odd": 1}, '{"cut']}),
        ('{"odd": 1}\n{"odd": 2}', -3, {"streamed_data": [{"odd": 1}]}),
    ],
)
def test_text_bodies_that_are_json_or_streams(text: str, status: int, body: Any) -> None:
    assert body_of(stream(text, status=status)) == body


@pytest.mark.parametrize(
    "text", ["Hello", 'Traceback (most recent call last):\n  x\n\n{"a": 1}', "data: nothing", "{cut"]
)
def test_other_text_stays_the_text(text: str) -> None:
    assert stream(text).decoded_response_body is None


@pytest.mark.parametrize(
    ("source", "content", "fields", "code"),
    [
        ("native", {"status": 2**70}, {}, "invalid_status"),
        ("native", {}, {"session_id": "x" * 2048}, "too_long"),
        ("native", {"session_id": "x" * 2048}, {}, "too_long"),
        ("native", {"started_at": "9999-12-31T23:59:59Z"}, {}, "invalid_time"),
        ("native", {"started_at": -1}, {}, "invalid_time"),
        ("native", {"ended_at": 1e300}, {}, "invalid_time"),
        ("native", {"odd": 1}, {}, "unknown_field"),
        ("native", {}, {"event_id": "seven"}, "invalid_id"),
        ("native", {}, {"project_id": 2**40}, "unknown_project"),
        ("native", {}, {"received_at_us": 2**70}, "invalid_time"),
        ("native.end", {"outcome": "completed"}, {}, "missing_field"),
        ("helicone.CUSTOM", {}, {}, "missing_field"),
        ("otlp.odd", {}, {}, "unknown_source"),
    ],
)
def test_a_record_that_no_door_let_in_is_refused(source: str, content: Any, fields: Any, code: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        decode(record(source, content, **fields))
    assert refusal.value.code == code


def test_native_defaults_and_properties() -> None:
    event = decode(record("native", {}))
    assert (event.kind, event.model, event.status, event.session_id, event.path) == (
        "data",
        "data:unknown",
        200,
        None,
        None,
    )
    assert event.started_at == event.ended_at == from_us(RECEIVED_AT_US)
    assert decode(record("native", {"model": "m"})).kind == "llm"
    raw = msgspec.Raw(b'{"properties":{"a":"x","n":1.50,"t":true,"z":null}}')
    spelled = decode(msgspec.structs.replace(record("native", {}), content=raw))
    assert spelled.properties == {"a": "x", "n": "1.50", "t": "true"}
    failed = decode(record("native", {"error": {"type": "t", "message": "m"}}))
    assert (failed.status, failed.is_error, failed.error_type, failed.error_message) == (200, True, "t", "m")


def test_an_event_without_a_time_starts_when_its_uuid_says() -> None:
    v7 = "019b76da-af6c-7c3e-8f7a-2f6d1c0b9e55"
    received_at_us = 1_767_225_600_000_000 + 3_600_000_000
    event = decode(record("native", {}, event_id=v7, received_at_us=received_at_us))
    assert event.started_at == from_us(int(v7.replace("-", "")[:12], 16) * 1000)
