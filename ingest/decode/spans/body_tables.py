"""Where input and output stand: the tables of otlp.md section 11, as data."""

from typing import NamedTuple


class Side(NamedTuple):
    """The sources of one side, in the order in which they are tried."""

    langfuse: str
    gen_ai_messages: str
    gen_ai_values: tuple[str, ...]
    openinference_messages: str
    openllmetry_messages: str
    items: tuple[tuple[str, str | None], ...]
    """Row 6: (indexed prefix, the part that is the item; empty: all parts make an object; None: not indexed)."""
    values: tuple[str, ...]
    """Rows 7 to 10."""
    events: dict[str, str]
    """Row 11: span event -> role of its message."""


INPUT = Side(
    langfuse="langfuse.observation.input",
    gen_ai_messages="gen_ai.input.messages",
    gen_ai_values=("gen_ai.tool.call.arguments", "gen_ai.retrieval.query.text", "gen_ai.memory.query.text"),
    openinference_messages="llm.input_messages",
    openllmetry_messages="gen_ai.prompt",
    items=(("llm.prompts", "prompt.text"), ("reranker.query", None), ("embedding.embeddings", "embedding.text")),
    values=("gen_ai.prompt", "input.value", "mlflow.spanInputs", "traceloop.entity.input"),
    events={
        "gen_ai.system.message": "system",
        "gen_ai.user.message": "user",
        "gen_ai.assistant.message": "assistant",
        "gen_ai.tool.message": "tool",
    },
)

OUTPUT = Side(
    langfuse="langfuse.observation.output",
    gen_ai_messages="gen_ai.output.messages",
    gen_ai_values=("gen_ai.tool.call.result", "gen_ai.retrieval.documents", "gen_ai.memory.records"),
    openinference_messages="llm.output_messages",
    openllmetry_messages="gen_ai.completion",
    items=(
        ("llm.choices", "completion.text"),
        ("retrieval.documents", ""),
        ("reranker.output_documents", ""),
    ),
    values=("gen_ai.completion", "output.value", "mlflow.spanOutputs", "traceloop.entity.output"),
    events={"gen_ai.choice": "assistant"},
)

MIME_TYPES = {"input.value": "input.mime_type", "output.value": "output.mime_type"}

SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
DOCUMENT_PARTS = ("id", "score", "content", "metadata")
REQUEST_PARAMETERS = "gen_ai.request."
PARAMETER_OBJECTS = ("llm.invocation_parameters", "langfuse.observation.model.parameters")
TOOL_LISTS = ("gen_ai.tool.definitions", "mlflow.chat.tools")
TOOL_SCHEMAS = ("llm.tools", "tool.json_schema")
TOOL_FUNCTIONS = ("llm.request.functions", ("name", "description", "parameters"))
FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_ID = "gen_ai.response.id"

VECTOR_OPERATION = ("gen_ai.operation.name", "db.operation.name", "db.operation")
VECTOR_TOP_K = ("db.vector.query.top_k", "gen_ai.request.top_k", "gen_ai.retrieval.top_k")
VECTOR_DATABASE = ("gen_ai.data_source.id", "db.namespace", "db.name", "db.collection.name", "db.system")
