"""Goal: what is decoded is what the tables of the specification say. Method: one case a row, records built by hand."""

import json
from typing import Any

import msgspec
import pytest

from ingest.decode.record import decode
from ingest.event import InvalidEvent, from_us
from tests.unit.ingest.logs import RECEIVED_AT_US, body_of, log, record, stream


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


def test_the_first_id_and_model_that_are_not_empty_count() -> None:
    filters = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    chunks = [filters, *({"id": n, "model": n, "choices": [{"delta": {"content": n}}]} for n in ("one", "two"))]
    event = log({"model": "deployment"}, {"streamed_data": chunks})
    body = body_of(event)
    assert (event.model, body["id"], body["prompt_filter_results"]) == ("one", "one", [{"prompt_index": 0}])


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


def test_lone_surrogates_inside_of_a_text_body_are_replaced() -> None:
    """There they are no escapes of the request's own JSON, so the door does not see them."""
    chunk = {"model": "m", "choices": [{"delta": {"content": "Hi"}}], "usage": {"completion_tokens": 2}}
    sent = json.dumps(chunk).replace("Hi", "a\\ud83d b\\ud83c\\udfbf c\\\\ud83d")
    event = stream(f"data: {sent}\n\ndata: [DONE]\n")
    assert body_of(event)["choices"][0]["message"]["content"] == "a\ufffd b\U0001f3bf c\\ud83d"
    assert (event.model, event.completion_tokens) == ("m", 2)
    assert body_of(stream('{"a": "\\udfff"}')) == {"a": "\ufffd"}


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


def test_a_number_beyond_a_double_in_the_usage_is_no_usage() -> None:
    sent = msgspec.structs.replace(record("native", {}), content=msgspec.Raw(b'{"usage":{"prompt_tokens":1e999}}'))
    event = decode(sent)
    assert (event.prompt_tokens, event.flags) == (0, ["usage_unreadable"])
