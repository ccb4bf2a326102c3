"""Which attributes become properties: otlp.md section 11, as data."""

PREFIXES = (
    "traceloop.association.properties.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
    "langsmith.metadata.",
    "ai.telemetry.metadata.",
)
"""What stands under these is a property under the rest of its name."""

METADATA = "metadata"
"""OpenInference's: a JSON object of properties."""

TAGS = ("tag.tags", "langfuse.trace.tags", "langsmith.span.tags")

NAMED = ("gen_ai.agent.name", "gen_ai.agent.id", "gen_ai.tool.call.id", "session.previous_id")
"""Properties under their own names."""
OF_RESOURCE_TOO = (
    ("service.name", ("service.name",)),
    ("environment", ("deployment.environment.name", "langfuse.environment", "deployment.environment")),
)
"""Property -> attributes of the span, else of its resource."""

PROPERTY = "property-"
"""A Helicone name that begins so is the property that follows."""
MODEL_OVERRIDE = "model-override"
OWN_FIELDS = frozenset({"session-id", "session-name", "session-path", "user-id", MODEL_OVERRIDE})
"""Helicone names with fields of their own in an event."""
CREDENTIAL = "auth"
"""A Helicone name that is never kept."""
POSTHOG_KEY = "posthog-key"
"""A Helicone name of which only that it was there is kept."""
SENT_TO_POSTHOG = "Helicone-Sent-To-Posthog"
