"""Which spans are events: the tables of otlp.md section 4, as data."""

AGENT, WORKFLOW, TASK = "agent", "workflow", "task"
"""Roles that decide which attribute names the span's segment."""

AGENT_CALL = "invoke_agent"
"""An operation that is an `llm` event on a span of OTLP kind CLIENT that reports usage, else a `span`."""


def _kinds(llm: str = "", tool: str = "", vector_db: str = "", data: str = "", span: str = "") -> dict[str, str]:
    columns = {"llm": llm, "tool": tool, "vector_db": vector_db, "data": data, "span": span}
    return {value: kind for kind, values in columns.items() for value in values.split()}


DECIDING = (
    (
        "langfuse.observation.type",
        _kinds(
            llm="generation embedding",
            tool="tool",
            vector_db="retriever",
            data="evaluator guardrail event",
            span="agent chain span",
        ),
    ),
    (
        "openinference.span.kind",
        _kinds(
            llm="llm embedding reranker decision",
            tool="tool",
            vector_db="retriever",
            data="evaluator guardrail",
            span="agent chain prompt unknown",
        ),
    ),
    (
        "langsmith.span.kind",
        _kinds(llm="llm embedding", tool="tool", vector_db="retriever", data="parser", span="chain prompt"),
    ),
    (
        "mlflow.spanType",
        _kinds(
            llm="llm chat_model embedding reranker",
            tool="tool",
            vector_db="retriever memory",
            data="evaluator guardrail parser",
            span="agent chain workflow task unknown",
        ),
    ),
    ("traceloop.span.kind", _kinds(tool="tool", span="workflow task agent unknown")),
    (
        "gen_ai.operation.name",
        _kinds(
            llm="chat text_completion generate_content embeddings",
            tool="execute_tool",
            vector_db="retrieval search_memory create_memory update_memory upsert_memory delete_memory",
            span="invoke_agent invoke_workflow create_agent plan create_memory_store delete_memory_store",
        ),
    ),
    ("llm.request.type", _kinds(llm="chat completion embedding rerank")),
)
"""In order: the first attribute that is present decides. Values in lower case."""

ROLES = {
    "agent": AGENT,
    "invoke_agent": AGENT,
    "create_agent": AGENT,
    "workflow": WORKFLOW,
    "invoke_workflow": WORKFLOW,
    "task": TASK,
}
"""Deciding value -> role."""

TOOL_NAMES = ("gen_ai.tool.name", "tool.name")
MODEL_NAMES = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name")
FIRST_PROMPT = "gen_ai.prompt.0."
VECTOR_QUERY = "db.vector.query.top_k"
VECTOR_EVENTS = frozenset({"db.query.result", "db.search.result"})
NOT_AN_AGENTS = ("http.", "url.", "db.", "rpc.", "messaging.")
"""A session id beside one of these was stamped on by a baggage processor."""

SEGMENT_NAMES = {
    "tool": ("gen_ai.tool.name", "tool.name", "traceloop.entity.name"),
    AGENT: ("gen_ai.agent.name", "agent.name", "traceloop.entity.name"),
    WORKFLOW: ("gen_ai.workflow.name", "traceloop.workflow.name"),
    TASK: ("traceloop.entity.name",),
}
