"""Goal: kinds, segments and paths are those of otlp.md sections 4 and 7. Method: one case a cell of the tables."""

from typing import Any

import pytest

from infra.project_settings import DEFAULTS, ProjectSettings
from ingest.decode.otlp import derived_path
from tests.unit.ingest.otlp.spans import CLIENT, INTERNAL, SERVER, decoded, event_of

TABLE = {
    "langfuse.observation.type": {
        "llm": ["generation", "embedding"],
        "tool": ["tool"],
        "vector_db": ["retriever"],
        "data": ["evaluator", "guardrail", "event"],
        "span": ["agent", "chain", "span"],
    },
    "openinference.span.kind": {
        "llm": ["LLM", "EMBEDDING", "RERANKER", "DECISION"],
        "tool": ["TOOL"],
        "vector_db": ["RETRIEVER"],
        "data": ["EVALUATOR", "GUARDRAIL"],
        "span": ["AGENT", "CHAIN", "PROMPT", "UNKNOWN"],
    },
    "langsmith.span.kind": {
        "llm": ["llm", "embedding"],
        "tool": ["tool"],
        "vector_db": ["retriever"],
        "data": ["parser"],
        "span": ["chain", "prompt"],
    },
    "mlflow.spanType": {
        "llm": ['"LLM"', "CHAT_MODEL", "EMBEDDING", "RERANKER"],
        "tool": ["TOOL"],
        "vector_db": ["RETRIEVER", '"MEMORY"'],
        "data": ["EVALUATOR", "GUARDRAIL", "PARSER"],
        "span": ["AGENT", "CHAIN", "WORKFLOW", "TASK", "UNKNOWN"],
    },
    "traceloop.span.kind": {"tool": ["tool"], "span": ["workflow", "task", "agent", "unknown"]},
    "gen_ai.operation.name": {
        "llm": ["chat", "text_completion", "generate_content", "embeddings"],
        "tool": ["execute_tool"],
        "vector_db": [
            "retrieval",
            "search_memory",
            "create_memory",
            "update_memory",
            "upsert_memory",
            "delete_memory",
        ],
        "span": [
            "invoke_agent",
            "invoke_workflow",
            "create_agent",
            "plan",
            "create_memory_store",
            "delete_memory_store",
        ],
    },
    "llm.request.type": {"llm": ["chat", "completion", "embedding", "rerank"]},
}
ORDER = list(TABLE)
CELLS = [(name, value, kind) for name, kinds in TABLE.items() for kind, values in kinds.items() for value in values]


@pytest.mark.parametrize(("name", "value", "kind"), CELLS)
def test_every_cell_of_the_table(name: str, value: str, kind: str) -> None:
    for spelling in (value, value.upper(), value.lower(), value.title()):
        assert event_of({name: spelling}).kind == kind


PAIRS = [(first, last) for place, first in enumerate(ORDER) for last in ORDER[place + 1 :]]


@pytest.mark.parametrize(("first", "last"), PAIRS)
def test_the_first_row_that_is_present_decides(first: str, last: str) -> None:
    kind = "span" if "span" in TABLE[first] else "llm"
    other = "llm" if kind == "span" and "llm" in TABLE[last] else "tool" if "tool" in TABLE[last] else "llm"
    assert kind != other
    assert event_of({last: TABLE[last][other][0], first: TABLE[first][kind][0]}).kind == kind


def test_a_langsmith_retriever_is_no_embedding() -> None:
    assert event_of({"gen_ai.operation.name": "embeddings", "langsmith.span.kind": "retriever"}).kind == "vector_db"


@pytest.mark.parametrize(
    ("otlp_kind", "usage", "kind"),
    [
        (CLIENT, {"gen_ai.usage.input_tokens": 1}, "llm"),
        (CLIENT, {"llm.token_count.completion": 1}, "llm"),
        (CLIENT, {}, "span"),
        (INTERNAL, {"gen_ai.usage.input_tokens": 1}, "span"),
    ],
)
def test_a_call_of_an_agent_is_a_request_when_it_is_a_client_that_reports_usage(
    otlp_kind: int, usage: dict[str, Any], kind: str
) -> None:
    assert event_of({"gen_ai.operation.name": "invoke_agent", **usage}, kind=otlp_kind).kind == kind


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.tool.name": "t", "gen_ai.request.model": "m"}, "tool"),
        ({"tool.name": "t"}, "tool"),
        ({"gen_ai.request.model": "m"}, "llm"),
        ({"gen_ai.response.model": "m"}, "llm"),
        ({"llm.model_name": "m"}, "llm"),
        ({"gen_ai.prompt.0.content": "hi"}, "llm"),
        ({"mlflow.spanType": "CUSTOM", "llm.model_name": "m"}, "llm"),
        ({"db.system": "pinecone", "db.vector.query.top_k": 3}, "vector_db"),
        ({"db.system": "postgresql"}, None),
        ({"Helicone-Session-Path": "/a", "http.route": "/x"}, "span"),
        ({"Helicone-Property-Team": "a"}, "span"),
        ({"traceloop.association.properties.Helicone-Property-Team": "a"}, "span"),
        ({"session.id": "s"}, "span"),
        ({"session.id": "s", "http.route": "/"}, None),
        ({"session.id": "s", "url.full": "/"}, None),
        ({"session.id": "s", "db.statement": "select"}, None),
        ({"session.id": "s", "rpc.system": "grpc"}, None),
        ({"session.id": "s", "messaging.system": "kafka"}, None),
        ({"user.id": "u"}, None),
        ({}, None),
    ],
)
def test_what_no_row_decides(attributes: dict[str, object], kind: str | None) -> None:
    event = decoded(attributes, kind=INTERNAL).event
    assert (event and event.kind) == kind


@pytest.mark.parametrize("otlp_kind", [SERVER, CLIENT, 4, 5])
def test_a_session_id_makes_no_event_of_a_server_or_client(otlp_kind: int) -> None:
    span = decoded({"session.id": "s"}, kind=otlp_kind)
    assert (span.event, span.session_id, span.segment) == (None, "s", None)


@pytest.mark.parametrize("name", ["db.query.result", "db.search.result"])
def test_a_database_with_results_of_a_search_is_a_vector_store(name: str) -> None:
    assert event_of({"db.system": "chroma"}, events={name: {}}).kind == "vector_db"
    assert decoded({}, events={name: {}}).event is None


@pytest.mark.parametrize(
    ("attributes", "name", "segment"),
    [
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "a", "tool.name": "b"}, "n", "a"),
        ({"openinference.span.kind": "TOOL", "tool.name": "b", "traceloop.entity.name": "c"}, "n", "b"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "c"}, "n", "c"),
        ({"traceloop.span.kind": "task", "traceloop.entity.name": "c"}, "c.task", "c"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "p"}, "invoke_agent p", "p"),
        ({"openinference.span.kind": "AGENT", "agent.name": "p"}, "n", "p"),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "p"}, "n", "p"),
        ({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "w"}, "n", "w"),
        ({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}, "chat gpt-4o", "chat"),
        ({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}, "chat gpt-4o", "chat gpt-4o"),
        ({"gen_ai.operation.name": "chat", "gen_ai.agent.name": "p"}, "chat", "chat"),
        ({"gen_ai.operation.name": "chat"}, " 100% a/b ", "100%25 a%2Fb"),
        ({"gen_ai.operation.name": "chat"}, " ", "_"),
        ({"gen_ai.operation.name": "chat"}, "x" * 200, "x" * 128),
        ({"gen_ai.operation.name": "chat"}, "x" * 127 + "/", "x" * 127),
    ],
)
def test_the_segment_of_a_span(attributes: dict[str, object], name: str, segment: str) -> None:
    span = decoded(attributes, name=name)
    assert span.segment == segment
    assert span.event is not None
    assert span.event.path == f"/{segment}"


def test_a_workflow_of_traceloop_gives_the_provisional_path() -> None:
    attributes = {
        "traceloop.span.kind": "task",
        "traceloop.workflow.name": "trip",
        "traceloop.entity.path": "plan.book",
        "traceloop.entity.name": "pay",
    }
    span = decoded(attributes)
    assert span.event is not None
    assert (span.explicit_path, span.event.path) == (None, "/trip/plan/book/pay")
    explicit = decoded({**attributes, "Helicone-Session-Path": "own//path/"})
    assert explicit.event is not None
    assert explicit.explicit_path == explicit.event.path == "own//path/"


@pytest.mark.parametrize(
    ("segments", "explicit", "path"),
    [
        (["a"], None, "/a"),
        (["a", "b"], None, "/a/b"),
        (["a", "b"], "x//y/", "/x/y/a/b"),
        (["a"], "/", "/a"),
        ([], "/x", "/x"),
        ([str(level) for level in range(16)], None, "/0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15"),
        ([str(level) for level in range(18)], None, "/0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/17"),
        ([str(level) for level in range(15)], "/x/y", "/x/y/0/1/2/3/4/5/6/7/8/9/10/11/12/14"),
    ],
)
def test_a_derived_path(segments: list[str], explicit: str | None, path: str) -> None:
    assert derived_path(segments, explicit) == path


def test_a_long_path_keeps_its_beginning_and_its_end() -> None:
    segments = [f"{level:03}" + "é" * 125 for level in range(8)]
    path = derived_path(segments)
    assert len(path.encode()) <= 1_024
    assert path.startswith("/" + segments[0] + "/" + segments[1] + "/")
    assert path.endswith("/" + segments[-1])
    assert path != derived_path([*segments[:-2], "other", segments[-1]])
    assert derived_path(["a" * 100] * 10) == "/" + "/".join(["a" * 100] * 10)
    assert len(derived_path(["p" * 120], "/" + "%2F" * 341).encode()) <= 1_024


def test_an_agents_usage_counts_only_where_the_project_says_so() -> None:
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.cost": 0.5,
    }
    for settings, tokens, cost in [(DEFAULTS, 0, None), (ProjectSettings(otlp_count_span_usage=True), 10, 500_000_000)]:
        span = decoded(attributes, settings=settings)
        assert span.event is not None
        assert (span.event.prompt_tokens, span.event.cost_nanousd, span.reports_usage) == (tokens, cost, False)
