"""Models and providers: the tables of otlp.md section 8, as data."""

RESPONSE_MODEL = (
    "gen_ai.response.model",
    "llm.response.model_name",
    "langfuse.observation.model.name",
    "llm.response.model",
)
REQUEST_MODEL = (
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
)
PROVIDER = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "mlflow.llm.provider",
    "langsmith.metadata.ls_provider",
    "ai.model.provider",
)

NO_PROVIDER = "CUSTOM"

_NAMES = {
    "OPENAI": "openai",
    "ANTHROPIC": "anthropic",
    "AZURE": "azure az.ai.openai azure.ai.openai azure.ai.inference",
    "GOOGLE": "google gemini gcp.gemini gcp.gen_ai gcp.vertex_ai vertex_ai vertexai",
    "BEDROCK": "aws aws.bedrock bedrock",
    "MISTRAL": "mistral_ai mistralai",
    "X": "x_ai xai",
    "TOGETHER": "together_ai together",
}
PROVIDER_LABELS = {name: label for label, names in _NAMES.items() for name in names.split()}
"""Any other name is its own label, in upper case."""


def provider_label(name: str | None) -> str:
    """Helicone's label for a provider's name."""
    name = (name or "").strip().lower()
    if not name:
        return NO_PROVIDER
    return PROVIDER_LABELS.get(name) or name.upper().replace(".", "_").replace("-", "_").replace(" ", "_")
