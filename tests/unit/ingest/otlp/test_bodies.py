"""Goal: bodies are those of otlp.md section 11, whichever convention wrote them. Method: one case a source."""

import json
from typing import Any

import pytest

from infra.project_settings import DEFAULTS
from ingest.decode import otlp
from tests.unit.ingest.otlp.spans import (
    PARENT_ID,
    SPAN_ID,
    STATUS_ERROR,
    event_of,
    record_of,
    request_of,
    response_of,
    span_of,
)

LLM = {"langfuse.observation.type": "generation"}
TOOL = {"openinference.span.kind": "TOOL", "tool.name": "get_weather"}
CALL = {"id": "c1", "type": "function", "function": {"name": "get", "arguments": '{"a":1}'}}


def bodies(attributes: dict[str, Any], **fields: Any) -> tuple[Any, Any]:
    """Request without what is left over, and response."""
    event = event_of(attributes, **fields)
    request = request_of(event)
    del request["otel"]
    return request, response_of(event)


def choice(content: Any, reason: str | None = None, **message: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": content, **message}}


MESSAGES = [{"role": "user", "content": "Hi"}]
GEN_AI_INPUT = [
    {"role": "user", "parts": [{"type": "text", "content": "Hi"}, {"type": "text", "content": "you"}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "get", "arguments": {"a": 1}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"b": 2}}]},
    {"role": "user", "parts": [{"type": "text", "content": "see"}, {"type": "uri", "uri": "http://x"}]},
]
PLAIN_INPUT = [
    {"role": "user", "content": "Hi\nyou"},
    {"role": "assistant", "tool_calls": [CALL], "content": None},
    {"role": "tool", "tool_call_id": "c1", "content": '{"b":2}'},
    {"role": "user", "content": [{"type": "text", "content": "see"}, {"type": "uri", "uri": "http://x"}]},
]


@pytest.mark.parametrize("spelled", [json.dumps, lambda value: value], ids=["text", "structure"])
def test_gen_ai_messages_become_plain_ones(spelled: Any) -> None:
    output = [
        {
            "role": "assistant",
            "finish_reason": "stop",
            "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "Hello"}],
        }
    ]
    request, response = bodies(
        LLM
        | {
            "gen_ai.request.model": "m",
            "gen_ai.input.messages": spelled(GEN_AI_INPUT),
            "gen_ai.system_instructions": spelled([{"type": "text", "content": "Be kind"}]),
            "gen_ai.output.messages": spelled(output),
        }
    )
    assert request == {"model": "m", "messages": [{"role": "system", "content": "Be kind"}, *PLAIN_INPUT]}
    assert response == {"model": "m", "choices": [choice("Hello", "stop", reasoning="hm")]}


def test_openinference_messages_are_put_together_in_the_order_of_their_numbers() -> None:
    prefix = "llm.input_messages"
    attributes = {
        f"{prefix}.10.message.role": "user",
        f"{prefix}.10.message.contents.0.message_content.type": "text",
        f"{prefix}.10.message.contents.0.message_content.text": "last",
        f"{prefix}.2.message.role": "assistant",
        f"{prefix}.2.message.tool_calls.0.tool_call.id": "c1",
        f"{prefix}.2.message.tool_calls.0.tool_call.function.name": "get",
        f"{prefix}.2.message.tool_calls.0.tool_call.function.arguments": '{"a":1}',
        f"{prefix}.3.message.role": "tool",
        f"{prefix}.3.message.tool_call_id": "c1",
        f"{prefix}.3.message.name": "get",
        f"{prefix}.3.message.content": "2",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Hello",
        "gen_ai.response.finish_reasons": ["stop"],
    }
    request, response = bodies(LLM | attributes)
    assert request["messages"] == [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "name": "get", "tool_call_id": "c1", "content": "2"},
        {"role": "user", "content": [{"type": "text", "text": "last"}]},
    ]
    assert response == {"choices": [choice("Hello", "stop")]}
    assert request_of(event_of(LLM | attributes))["otel"]["attributes"] == LLM


def test_openllmetry_messages_are_put_together() -> None:
    attributes = {
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be kind",
        "gen_ai.prompt.2.role": "user",
        "gen_ai.prompt.2.content": '[{"type": "text", "text": "Hi"}]',
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.finish_reason": "tool_calls",
        "gen_ai.completion.0.tool_calls.0.id": "c1",
        "gen_ai.completion.0.tool_calls.0.name": "get",
        "gen_ai.completion.0.tool_calls.0.arguments": '{"a":1}',
        "llm.request.functions.0.name": "get",
        "llm.request.functions.0.parameters": '{"type": "object"}',
    }
    request, response = bodies(LLM | attributes)
    assert request["messages"] == [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ]
    assert request["tools"] == [{"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}]
    assert response == {"choices": [choice(None, "tool_calls", tool_calls=[CALL])]}


INPUTS = [
    ({"langfuse.observation.input": json.dumps(MESSAGES)}, {"messages": MESSAGES}),
    ({"langfuse.observation.input": json.dumps({"messages": MESSAGES, "n": 2})}, {"messages": MESSAGES, "n": 2}),
    ({"gen_ai.input.messages": json.dumps(MESSAGES)}, {"messages": MESSAGES}),
    ({"gen_ai.tool.call.arguments": '{"a": 1}'}, {"a": 1}),
    ({"gen_ai.retrieval.query.text": "q"}, {"input": "q"}),
    ({"gen_ai.memory.query.text": "q"}, {"input": "q"}),
    (
        {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Hi"},
        {"messages": MESSAGES},
    ),
    ({"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi"}, {"messages": MESSAGES}),
    ({"llm.prompts.0.prompt.text": "p"}, {"input": "p"}),
    ({"reranker.query": "q"}, {"input": "q"}),
    (
        {"embedding.embeddings.0.embedding.text": "a", "embedding.embeddings.1.embedding.text": "b"},
        {"input": ["a", "b"]},
    ),
    ({"gen_ai.prompt": json.dumps(MESSAGES)}, {"messages": MESSAGES}),
    ({"input.value": "{ no JSON", "input.mime_type": "application/json"}, {"input": "{ no JSON"}),
    ({"mlflow.spanInputs": json.dumps({"question": "q"})}, {"question": "q"}),
    ({"traceloop.entity.input": "plain"}, {"input": "plain"}),
]


@pytest.mark.parametrize("first", range(len(INPUTS)))
def test_the_first_input_that_is_present_counts(first: int) -> None:
    attributes = {key: value for source, _ in reversed(INPUTS[first:]) for key, value in source.items()}
    assert bodies(LLM | attributes)[0] == INPUTS[first][1]


OUTPUTS: list[tuple[dict[str, Any], Any]] = [
    ({"langfuse.observation.output": '{"role": "assistant", "content": "Hi"}'}, "Hi"),
    ({"gen_ai.output.messages": '[{"role": "assistant", "content": "Hi"}]'}, "Hi"),
    ({"gen_ai.tool.call.result": "r"}, "r"),
    ({"gen_ai.retrieval.documents": '[{"id": 1}]'}, [{"id": 1}]),
    ({"gen_ai.memory.records": [1]}, [1]),
    ({"llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Hi"}, "Hi"),
    ({"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Hi"}, "Hi"),
    ({"llm.choices.0.completion.text": "c"}, "c"),
    (
        {"retrieval.documents.0.document.id": "d", "retrieval.documents.0.document.metadata": '{"a": 1}'},
        [{"id": "d", "metadata": {"a": 1}}],
    ),
    ({"reranker.output_documents.0.document.score": 0.5}, [{"score": 0.5}]),
    ({"gen_ai.completion": "done"}, "done"),
    ({"output.value": '{"a": 1}', "output.mime_type": "text/plain"}, '{"a": 1}'),
    ({"mlflow.spanOutputs": '"text"'}, "text"),
    ({"traceloop.entity.output": '{"a": 1}'}, {"a": 1}),
]


@pytest.mark.parametrize("first", range(len(OUTPUTS)))
def test_the_first_output_that_is_present_counts(first: int) -> None:
    attributes = {key: value for source, _ in reversed(OUTPUTS[first:]) for key, value in source.items()}
    assert bodies(LLM | attributes)[1] == {"choices": [choice(OUTPUTS[first][1])]}


def test_messages_in_span_events_are_read_in_order() -> None:
    events = {
        "gen_ai.system.message": {"content": "Be kind"},
        "gen_ai.user.message": {"content": "Hi", "role": "user"},
        "other": {"a": 1},
        "gen_ai.choice": {"index": 0, "finish_reason": "stop", "message": '{"content": "Hello"}'},
    }
    event = event_of(LLM, events=events)
    request = request_of(event)
    assert request["messages"] == [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}]
    assert response_of(event)["choices"] == [choice("Hello", "stop")]
    assert [event["name"] for event in request["otel"]["events"]] == ["other"]


def test_parameters_tools_and_usage() -> None:
    attributes = {
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ["a"],
        "llm.invocation_parameters": '{"top_p": 0.9}',
        "langfuse.observation.model.parameters": '{"seed": 7}',
        "gen_ai.tool.definitions": '[{"name": "get"}]',
        "gen_ai.response.id": "r1",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
    }
    event = event_of(LLM | attributes)
    request = request_of(event)
    assert request.pop("otel")["attributes"] == LLM
    assert request == {
        "model": "m",
        "temperature": 0.5,
        "stop_sequences": ["a"],
        "top_p": 0.9,
        "seed": 7,
        "tools": [{"name": "get"}],
    }
    assert response_of(event) == {
        "id": "r1",
        "model": "m",
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


@pytest.mark.parametrize(
    ("attributes", "tools"),
    [
        (
            {"llm.tools.1.tool.json_schema": '{"b": 2}', "llm.tools.0.tool.json_schema": '{"a": 1}'},
            [{"a": 1}, {"b": 2}],
        ),
        ({"mlflow.chat.tools": '[{"type": "function"}]'}, [{"type": "function"}]),
    ],
)
def test_tools(attributes: dict[str, Any], tools: list[Any]) -> None:
    assert bodies(LLM | attributes)[0] == {"tools": tools}


def test_a_parameter_that_the_body_says_otherwise_is_kept_beside_it() -> None:
    parameters = '{"model": "other", "seed": 7}'
    request = request_of(event_of(LLM | {"gen_ai.request.model": "m", "llm.invocation_parameters": parameters}))
    assert (request["model"], request["seed"]) == ("m", 7)
    assert request["otel"]["attributes"]["llm.invocation_parameters"] == parameters


def test_a_response_that_has_choices_stays_as_it_is() -> None:
    sent = {"id": "x", "choices": [{"message": {"content": "Hi"}}], "usage": {"prompt_tokens": 1}}
    assert bodies(LLM | {"mlflow.spanOutputs": json.dumps(sent)})[1] == sent


def test_the_bodies_of_other_kinds() -> None:
    both = {"input.value": '{"city": "Bonn"}', "output.value": "sunny"}
    assert bodies(TOOL | both) == (
        {"_type": "tool", "toolName": "get_weather", "input": {"city": "Bonn"}},
        {"_type": "tool", "toolName": "get_weather", "output": "sunny"},
    )
    search = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": "q", "db.vector.query.top_k": 3}
    assert bodies(search | {"gen_ai.retrieval.documents": '[{"id": 1}]', "db.system": "chroma"}) == (
        {"_type": "vector_db", "operation": "retrieval", "text": "q", "topK": 3, "databaseName": "chroma"},
        {"_type": "vector_db", "results": [{"id": 1}]},
    )
    for kind in ("CHAIN", "GUARDRAIL"):
        assert bodies({"openinference.span.kind": kind, **both}, name="step") == (
            {"_type": "data", "name": "step", "input": {"city": "Bonn"}},
            {"_type": "data", "name": "step", "status": "success", "output": "sunny"},
        )
    assert bodies(TOOL) == ({"_type": "tool", "toolName": "get_weather"},) * 2


def test_an_error_is_in_the_body() -> None:
    failed = {"status": (STATUS_ERROR, "no answer"), "name": "step"}
    error = {"type": "x", "message": "no answer"}
    assert bodies(LLM | {"error.type": "x"}, **failed)[1] == {"error": error}
    assert bodies({"openinference.span.kind": "CHAIN", "error.type": "x"}, **failed)[1] == {
        "_type": "data",
        "name": "step",
        "status": "error",
        "error": error,
    }


def test_what_no_table_uses_is_kept() -> None:
    span = span_of(
        {
            **LLM,
            "server.port": 443,
            "raw": b"\x00\xff",
            "odd": [float("nan"), float("-inf")],
            "gen_ai.usage.output_tokens": 1,
        },
        name="chat",
        kind=3,
        events={"retry": {"n": 1}},
        trace_state="a=b",
        dropped_attributes_count=2,
    )
    link = span.links.add(trace_id=bytes(16), span_id=PARENT_ID)
    link.attributes.add(key="why").value.string_value = "retry"
    event = otlp.decode_span(record_of(span, {"host.name": "h"}), DEFAULTS).event
    assert event is not None
    assert request_of(event)["otel"] == {
        "name": "chat",
        "kind": "client",
        "attributes": {**LLM, "server.port": 443, "raw": "AP8=", "odd": ["NaN", "-Infinity"]},
        "events": [{"name": "retry", "time_unix_nano": 1_767_225_600_000_000_000, "attributes": {"n": 1}}],
        "links": [{"trace_id": "00" * 16, "span_id": PARENT_ID.hex(), "attributes": {"why": "retry"}}],
        "trace_state": "a=b",
        "dropped": {"attributes": 2, "events": 0, "links": 0},
        "scope": {"name": "test", "version": ""},
        "resource": {"attributes": {"host.name": "h"}},
    }
    assert (event.trace_id, event.span_id) == (span.trace_id.hex(), SPAN_ID.hex())


def test_a_body_with_a_member_of_that_name_is_kept_whole() -> None:
    request = request_of(event_of(LLM | {"input.value": '{"otel": 1}'}))
    assert request["input"] == {"otel": 1}


@pytest.mark.parametrize("depth", [200, 201, 700, *range(900, 1_000, 5), 5_000])
def test_json_that_nests_absurdly_deep_stays_text(depth: int) -> None:
    text = "[" * depth + "]" * depth
    names = ("input.value", "output.value", "metadata", "tag.tags", "llm.invocation_parameters", "error.type")
    event = event_of(LLM | dict.fromkeys(names, text), status=(STATUS_ERROR, ""))
    kept = text if depth <= 200 else json.dumps(text)
    assert event.decoded_request_body is not None and event.decoded_response_body is not None
    assert f'"input":{kept}' in event.decoded_request_body
    assert f'"content":{kept}' in event.decoded_response_body


def test_lone_surrogates_inside_of_json_texts_are_replaced() -> None:
    sent = '[{"role": "user", "parts": [{"type": "text", "content": "a\\ud83d"}]}]'
    event = event_of({"gen_ai.operation.name": "chat", "gen_ai.input.messages": sent})
    assert request_of(event)["messages"] == [{"role": "user", "content": "a\ufffd"}]
