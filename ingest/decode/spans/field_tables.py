"""Which attributes name the session, the user and the session's name: the table of otlp.md section 5, as data."""

HELICONE_SPELLINGS = ("helicone-", "traceloop.association.properties.helicone-", "langfuse.trace.metadata.helicone-")
"""The three spellings of `<P>`, in order, compared without case. What follows is a Helicone name."""

FIELD_NAMES = ("session_id", "session_name", "user_id", "path", "request_id")
"""What an attribute of these tables may name; the first four in the order of `Fields`."""

HELICONE_NAMES = ("session-id", "session-name", "user-id", "session-path", "request-id")
"""Row 1, in the order of `FIELD_NAMES`."""

HEADERS = tuple(f"helicone-{name}" for name in HELICONE_NAMES[:4])
"""Row 10: the export's headers."""

SESSION_ID = (
    "langfuse.session.id",
    "session.id",
    "gen_ai.conversation.id",
    "traceloop.association.properties.session_id",
    "mlflow.trace.session",
    "langsmith.metadata.session_id",
    "langsmith.metadata.thread_id",
    "langsmith.metadata.conversation_id",
    "langfuse.observation.metadata.langfuse_session_id",
    "langfuse.trace.metadata.langfuse_session_id",
    "ai.telemetry.metadata.sessionId",
)
"""Rows 2 to 9."""

USER_ID = (
    "langfuse.user.id",
    "user.id",
    "enduser.id",
    "gen_ai.user",
    "llm.user",
    "traceloop.association.properties.user_id",
    "mlflow.trace.user",
    "langsmith.metadata.user_id",
    "langfuse.observation.metadata.langfuse_user_id",
    "langfuse.trace.metadata.langfuse_user_id",
    "ai.telemetry.metadata.userId",
)

SESSION_NAME_OF_ROOT = ("gen_ai.agent.name", "agent.name")
"""Row 6: these name a session only on a span without a parent."""
SESSION_NAME = (
    "langfuse.trace.name",
    "traceloop.workflow.name",
    "gen_ai.workflow.name",
    "mlflow.traceName",
    *SESSION_NAME_OF_ROOT,
)

PLACES = {
    name: (field, rank)
    for field, names in ((0, SESSION_ID), (1, SESSION_NAME), (2, USER_ID))
    for rank, name in enumerate(names)
}
"""Attribute -> (index in `FIELD_NAMES`, rank); the lowest rank that is not empty wins."""

HELICONE_PLACES = {
    prefix + name: (field, spelling - len(HELICONE_SPELLINGS))
    for spelling, prefix in enumerate(HELICONE_SPELLINGS)
    for field, name in enumerate(HELICONE_NAMES)
}
"""The same for the Helicone names, which come before all others, in lower case."""
