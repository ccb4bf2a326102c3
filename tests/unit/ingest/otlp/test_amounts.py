"""Goal: models, tokens, cost, times and status are those of otlp.md sections 8 to 10. Method: one case a cell."""

import json
from typing import Any

import pytest

from ingest.event import COST_NANOUSD_MAX, TOKENS_MAX, Event
from tests.unit.ingest.otlp.spans import START_NS, STATUS_ERROR, decoded, event_of, request_of, response_of

CHAT = {"gen_ai.operation.name": "chat"}
RESPONSE_MODELS = [
    "gen_ai.response.model",
    "llm.response.model_name",
    "langfuse.observation.model.name",
    "llm.response.model",
]
REQUEST_MODELS = [
    "gen_ai.request.model",
    "llm.request.model_name",
    "llm.model_name",
    "embedding.model_name",
    "reranker.model_name",
    "decision.response.model_name",
    "decision.model_name",
    "mlflow.llm.model",
    "ai.model.id",
    "langsmith.metadata.ls_model_name",
]
PROVIDERS = [
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "mlflow.llm.provider",
    "langsmith.metadata.ls_provider",
    "ai.model.provider",
]


@pytest.mark.parametrize(("field", "names"), [("response_model", RESPONSE_MODELS), ("request_model", REQUEST_MODELS)])
def test_the_first_model_that_is_not_empty_counts(field: str, names: list[str]) -> None:
    for first in range(len(names)):
        attributes = {name: name for name in reversed(names[first:])} | {name: "" for name in names[:first]}
        event = event_of(CHAT | attributes)
        assert getattr(event, field) == event.model == names[first]


def test_mlflow_writes_model_and_provider_as_json() -> None:
    event = event_of({"mlflow.spanType": '"LLM"', "mlflow.llm.model": '"gpt-4o"', "mlflow.llm.provider": '"openai"'})
    assert (event.model, event.request_model, event.provider) == ("gpt-4o", "gpt-4o", "OPENAI")


def test_the_label_is_the_override_then_the_response_then_the_request() -> None:
    request, response = {"gen_ai.request.model": "q"}, {"gen_ai.response.model": "r"}
    override = {"traceloop.association.properties.helicone-model-override": "o"}
    assert event_of(CHAT | request | response | override).model == "o"
    assert event_of(CHAT | request | response).model == "r"
    assert event_of(CHAT | request).model == "q"
    assert event_of(CHAT).model == "unknown"


@pytest.mark.parametrize(
    ("attributes", "name", "model"),
    [
        (
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t", "gen_ai.request.model": "m"},
            "n",
            "tool:t",
        ),
        ({"langfuse.observation.type": "tool"}, "get", "tool:get"),
        ({"gen_ai.operation.name": "retrieval"}, "n", "vector_db"),
        ({"langfuse.observation.type": "guardrail"}, "check", "data:check"),
        ({"langfuse.observation.type": "guardrail"}, "", "data:unknown"),
        ({"openinference.span.kind": "CHAIN", "gen_ai.request.model": "m"}, "n", ""),
    ],
)
def test_other_kinds_have_labels_of_their_own(attributes: dict[str, Any], name: str, model: str) -> None:
    assert event_of(attributes, name=name).model == model


@pytest.mark.parametrize("first", range(len(PROVIDERS)))
def test_the_first_provider_that_is_not_empty_counts(first: int) -> None:
    attributes = {name: f"p {name}" for name in PROVIDERS[first:]}
    expected = f"P_{PROVIDERS[first]}".upper().replace(".", "_")
    assert event_of(CHAT | attributes).provider == expected


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("openai OpenAI", "OPENAI"),
        ("anthropic", "ANTHROPIC"),
        ("azure az.ai.openai azure.ai.openai azure.ai.inference", "AZURE"),
        ("google gemini gcp.gemini gcp.gen_ai gcp.vertex_ai vertex_ai vertexai", "GOOGLE"),
        ("aws aws.bedrock bedrock", "BEDROCK"),
        ("mistral_ai mistralai", "MISTRAL"),
        ("x_ai xai", "X"),
        ("together_ai together", "TOGETHER"),
        ("cohere", "COHERE"),
        ("groq", "GROQ"),
        ("deepseek", "DEEPSEEK"),
        ("perplexity", "PERPLEXITY"),
        ("openrouter", "OPENROUTER"),
        ("fireworks", "FIREWORKS"),
        ("cerebras", "CEREBRAS"),
        ("nvidia", "NVIDIA"),
        ("ibm.watsonx-ai", "IBM_WATSONX_AI"),
    ],
)
def test_a_provider_has_helicones_label(names: str, label: str) -> None:
    for name in names.split():
        assert event_of(CHAT | {"gen_ai.system": name}).provider == label


def test_no_provider_is_custom() -> None:
    assert event_of(CHAT).provider == "CUSTOM"


def tokens_of(event: Event) -> tuple[int, ...]:
    """Prompt, completion, cache read, cache write, reasoning, audio in, audio out."""
    return (
        event.prompt_tokens,
        event.completion_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        event.reasoning_tokens,
        event.prompt_audio_tokens,
        event.completion_audio_tokens,
    )


GEN_AI = {
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 10,
    "gen_ai.usage.cache_write.input_tokens": 20,
    "gen_ai.usage.reasoning.output_tokens": 5,
    "gen_ai.usage.audio.input_tokens": 3,
    "gen_ai.usage.audio.output_tokens": 4,
}
LANGFUSE = "langfuse.observation.usage_details"
MLFLOW = "mlflow.chat.tokenUsage"


@pytest.mark.parametrize(
    ("attributes", "tokens"),
    [
        (GEN_AI, (67, 41, 10, 20, 5, 3, 4)),
        (
            {
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.cache_creation.input_tokens": 30,
            },
            (70, 0, 0, 30, 0, 0, 0),
        ),
        (
            {
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": 50,
                "gen_ai.usage.input_token_details": '{"cache_read": 10, "cache_creation": 20}',
                "gen_ai.usage.output_token_details": '{"reasoning": 5}',
            },
            (70, 45, 10, 20, 5, 0, 0),
        ),
        (
            {
                "gen_ai.usage.prompt_tokens": 100,
                "gen_ai.usage.completion_tokens": 50,
                "gen_ai.usage.cache_read_input_tokens": 10,
                "gen_ai.usage.cache_creation_input_tokens": 20,
                "gen_ai.usage.reasoning_tokens": 5,
            },
            (70, 45, 10, 20, 5, 0, 0),
        ),
        (
            {"llm.usage.prompt_tokens": 9, "llm.usage.completion_tokens": 8, "llm.usage.reasoning_tokens": 1},
            (9, 7, 0, 0, 1, 0, 0),
        ),
        (
            {
                "llm.token_count.prompt": 100,
                "llm.token_count.completion": 50,
                "llm.token_count.prompt_details.cache_read": 10,
                "llm.token_count.prompt_details.cache_write": 20,
                "llm.token_count.completion_details.reasoning": 5,
                "llm.token_count.prompt_details.audio": 3,
                "llm.token_count.completion_details.audio": 4,
            },
            (67, 41, 10, 20, 5, 3, 4),
        ),
        ({"llm.token_count.prompt": 9, "llm.token_count.prompt_details.cache_input": 2}, (7, 0, 2, 0, 0, 0, 0)),
        ({"decision.token_count.input": 9, "decision.token_count.output": 8}, (9, 8, 0, 0, 0, 0, 0)),
        (
            {
                LANGFUSE: json.dumps(
                    {
                        "input": 100,
                        "output": 50,
                        "input_cached_tokens": 10,
                        "input_cache_creation": 1,
                        "input_cache_creation_5m": 2,
                        "input_cache_creation_1h": 3,
                        "output_reasoning_tokens": 5,
                        "input_audio_tokens": 7,
                        "output_audio_tokens": 8,
                    }
                )
            },
            (100, 50, 10, 6, 5, 7, 8),
        ),
        ({LANGFUSE: '{"prompt_tokens": 1, "completion_tokens": 2}'}, (1, 2, 0, 0, 0, 0, 0)),
        ({LANGFUSE: {"input": 1, "input_cache_read": 2, "input_cache_write": 3}}, (1, 0, 2, 3, 0, 0, 0)),
        (
            {LANGFUSE: '{"input": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 3}'},
            (1, 0, 2, 3, 0, 0, 0),
        ),
        (
            {
                MLFLOW: '{"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 10,'
                ' "cache_creation_input_tokens": 20}'
            },
            (70, 50, 10, 20, 0, 0, 0),
        ),
        ({"gen_ai.usage.total_tokens": 9}, (9, 0, 0, 0, 0, 0, 0)),
        ({"llm.usage.total_tokens": 9}, (9, 0, 0, 0, 0, 0, 0)),
        ({"llm.token_count.total": 9}, (9, 0, 0, 0, 0, 0, 0)),
        ({LANGFUSE: '{"total": 9}'}, (9, 0, 0, 0, 0, 0, 0)),
        ({MLFLOW: '{"total_tokens": 9}'}, (9, 0, 0, 0, 0, 0, 0)),
        # The families in order, as whole columns, and what one lacks from the next.
        (GEN_AI | {LANGFUSE: '{"input": 1}'}, (1, 50, 10, 20, 5, 3, 4)),
        (GEN_AI | {"gen_ai.usage.prompt_tokens": 1, "llm.token_count.prompt": 2}, (67, 41, 10, 20, 5, 3, 4)),
        (
            {"llm.usage.prompt_tokens": 1, "llm.token_count.prompt": 2, MLFLOW: '{"output_tokens": 3}'},
            (1, 3, 0, 0, 0, 0, 0),
        ),
        ({"llm.token_count.prompt": 9, "gen_ai.usage.cache_read.input_tokens": 1}, (9, 0, 0, 0, 0, 0, 0)),
        # Numbers in any spelling; what is none, or negative, is 0.
        ({"gen_ai.usage.input_tokens": "12", "gen_ai.usage.output_tokens": 3.0}, (12, 3, 0, 0, 0, 0, 0)),
        ({"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": -3}, (0, 0, 0, 0, 0, 0, 0)),
        ({"gen_ai.usage.input_tokens": float("nan"), "gen_ai.usage.output_tokens": True}, (0, 0, 0, 0, 0, 0, 0)),
        # The guard: an input smaller than its parts was net already; only audio is subtracted.
        (
            {
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.cache_read.input_tokens": 100,
                "gen_ai.usage.audio.input_tokens": 3,
            },
            (7, 0, 100, 0, 0, 3, 0),
        ),
        ({"gen_ai.usage.output_tokens": 3, "gen_ai.usage.reasoning.output_tokens": 5}, (0, 0, 0, 0, 5, 0, 0)),
        ({}, (0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_tokens(attributes: dict[str, Any], tokens: tuple[int, ...]) -> None:
    span = decoded(CHAT | attributes)
    assert span.event is not None
    assert tokens_of(span.event) == tokens
    assert span.event.flags == []
    assert span.reports_usage is any(tokens)


def test_tokens_over_the_limit_are_clamped_and_flagged() -> None:
    event = event_of(CHAT | {"gen_ai.usage.input_tokens": 2**62, "gen_ai.usage.output_tokens": 1e300})
    assert tokens_of(event)[:2] == (TOKENS_MAX, TOKENS_MAX)
    assert event.flags == ["tokens_clamped"]


COST = "langfuse.observation.cost_details"


@pytest.mark.parametrize(
    ("attributes", "nanousd"),
    [
        ({COST: '{"input": 1, "output": 2, "total": 5}', "llm.cost.total": 9}, 5_000_000_000),
        ({COST: '{"input": 0.1, "output": 0.2}'}, 300_000_000),
        ({COST: "{}", "llm.cost.total": 0.25, "llm.cost.prompt": 9}, 250_000_000),
        ({"llm.cost.prompt": 0.25, "llm.cost.completion": "0.5", "mlflow.llm.cost": '{"total_cost": 9}'}, 750_000_000),
        ({"llm.cost.prompt": 0.25}, 250_000_000),
        ({"mlflow.llm.cost": '{"total_cost": 0.25}', "gen_ai.usage.cost": 9}, 250_000_000),
        ({"gen_ai.usage.cost": 0.25, "gen_ai.usage.total_cost": 9}, 250_000_000),
        ({"gen_ai.usage.total_cost": 0.0000000005}, 0),
        ({"gen_ai.usage.cost": 0}, 0),
        ({"gen_ai.usage.cost": -1}, None),
        ({"gen_ai.usage.cost": float("inf")}, None),
        ({"gen_ai.usage.cost": "free"}, None),
        ({}, None),
    ],
)
def test_cost(attributes: dict[str, Any], nanousd: int | None) -> None:
    span = decoded(CHAT | attributes)
    assert span.event is not None
    assert span.event.cost_nanousd == nanousd
    assert span.reports_usage is bool(nanousd)


def test_a_cost_over_the_limit_is_clamped_and_flagged() -> None:
    event = event_of(CHAT | {"gen_ai.usage.cost": 1e300})
    assert (event.cost_nanousd, event.flags) == (COST_NANOUSD_MAX, ["cost_clamped"])


@pytest.mark.parametrize(
    ("attributes", "wait_us"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25, "ai.response.msToFirstChunk": 9}, 250_000),
        ({"langfuse.observation.completion_start_time": "2026-01-01T00:00:00.5Z"}, 500_000),
        ({"langfuse.observation.completion_start_time": '"2026-01-01T00:00:00.500000Z"'}, 500_000),
        ({"langfuse.observation.completion_start_time": '"\\"2026-01-01T00:00:00.5Z\\""'}, 500_000),
        ({"langfuse.observation.completion_start_time": "2025-12-31T00:00:00Z"}, None),
        ({"langfuse.observation.completion_start_time": "soon"}, None),
        ({"ai.response.msToFirstChunk": 12.5}, 12_500),
        ({"gen_ai.response.time_to_first_chunk": -1}, None),
        ({"gen_ai.response.time_to_first_chunk": 1e300}, None),
        ({}, None),
    ],
)
def test_time_to_first_token(attributes: dict[str, Any], wait_us: int | None) -> None:
    assert event_of(CHAT | attributes).time_to_first_token_us == wait_us


@pytest.mark.parametrize("end", [0, START_NS - 1_000])
def test_a_span_that_ends_before_it_starts_ends_where_it_starts(end: int) -> None:
    event = event_of(CHAT, end_time_unix_nano=end)
    assert event.ended_at == event.started_at
    assert event.flags == ["end_set_to_start"]


@pytest.mark.parametrize(
    ("code", "attributes", "status"),
    [
        (0, {}, 200),
        (1, {"http.response.status_code": 500, "error.type": "x"}, 200),
        (2, {"http.response.status_code": 429, "error.type": "timeout"}, 429),
        (2, {"http.status_code": "503"}, 503),
        (2, {"http.response.status_code": 200, "error.type": "404"}, 404),
        (2, {"error.type": "399"}, 500),
        (2, {"error.type": "timeout"}, -1),
        (2, {"error.type": "openai.APITimeoutError"}, -1),
        (2, {"error.type": "ReadTimeout"}, -1),
        (2, {"error.type": "cancelled"}, -3),
        (2, {"error.type": "asyncio.exceptions.CancelledError"}, -3),
        (2, {"error.type": "ValueError"}, 500),
        (2, {}, 500),
        (0, {"langfuse.observation.level": "ERROR"}, 500),
        (0, {"langfuse.observation.level": "WARNING"}, 200),
    ],
)
def test_status(code: int, attributes: dict[str, Any], status: int) -> None:
    event = event_of(CHAT | attributes, status=(code, "said"))
    assert (event.status, event.is_error) == (status, status != 200)
    if status != 200:
        assert event.error_type == attributes.get("error.type", "_OTHER")


def test_an_error_is_told_by_the_last_exception_where_the_span_is_silent() -> None:
    events = {
        "exception#1": {"exception.type": "KeyError", "exception.message": "first"},
        "exception#2": {"exception.type": "TimeoutError", "exception.message": "last", "exception.stacktrace": "at x"},
    }
    event = event_of(CHAT, status=(STATUS_ERROR, ""), events=events)
    assert (event.status, event.error_type, event.error_message) == (-1, "TimeoutError", "last")
    assert response_of(event)["error"] == {"type": "TimeoutError", "message": "last", "stacktrace": "at x"}
    assert len(request_of(event)["otel"]["events"]) == 2
    told = {"error.type": "own", "langfuse.observation.status_message": "langfuse"}
    event = event_of(CHAT | told, status=(STATUS_ERROR, ""), events=events)
    assert (event.error_type, event.error_message) == ("own", "langfuse")
    event = event_of(CHAT | told, status=(STATUS_ERROR, "span"), events=events)
    assert event.error_message == "span"


def test_long_texts_are_cut_and_flagged() -> None:
    event = event_of(CHAT | {"gen_ai.request.model": "é" * 1_000}, status=(STATUS_ERROR, "x" * 20_000))
    assert event.model == event.request_model == "é" * 512
    assert event.error_message == "x" * 16_384
    assert "text_cut" in event.flags
