"""The columns that a filter may name: their type, their level, and the SQL that reads them.

In the SQL, `r` is a row of `requests`, and `f` a session with its figures over its matching requests (see
sql/list_sessions_from_*.sql). Everything here is constant; no value of a caller ever enters it.
"""

from dataclasses import dataclass
from enum import Enum


class Type(Enum):
    """What a column holds, which decides its operators and the form of its values."""

    TEXT = "text"
    NUMBER = "number"
    USD = "usd"
    """A number that the caller gives in USD and the store keeps in nano-USD."""
    BOOLEAN = "boolean"
    TIME = "time"
    REQUEST_ID = "request id"
    """Text to the caller, a uuid in the store."""
    PROJECT_ID = "project id"
    """Text to the caller, an integer in the store."""
    PROPERTY = "property"
    """A map of names to texts; the filter names one level more."""
    PROPERTY_KEY = "property key"


class Level(Enum):
    """What a condition is about: single requests, or the session as a whole."""

    REQUEST = "request"
    SESSION = "session"


@dataclass(frozen=True)
class Column:
    """One column that a filter may name."""

    type: Type
    sql: str
    level: Level = Level.REQUEST


LATENCY_MS = "(extract(epoch FROM r.ended_at - r.started_at) * 1000)"
PROMPT_ID = "coalesce(r.properties ->> 'Helicone-Prompt-Id', '')"
REQUEST_BODY = (
    "coalesce(r.decoded_request_body, (SELECT coalesce(b.request_body,"
    " CASE WHEN r.source LIKE 'helicone.%' THEN '{}' END) FROM records b"
    " WHERE b.project_id = r.project_id AND b.day = r.day AND b.event_id = r.event_id))"
)
RESPONSE_BODY = (
    "coalesce(r.decoded_response_body, (SELECT coalesce(b.response_body,"
    " CASE WHEN r.source LIKE 'helicone.%' THEN '{}' END) FROM records b"
    " WHERE b.project_id = r.project_id AND b.day = r.day AND b.event_id = r.event_id))"
)
NOT_RECORDED = "''"
"""Helicone has the column, Pathline records nothing for it."""

TABLES: dict[str, dict[str, Column | None]] = {
    "request_response_rmt": {
        "request_id": Column(Type.REQUEST_ID, "r.event_id"),
        "request_created_at": Column(Type.TIME, "r.started_at"),
        "response_created_at": Column(Type.TIME, "r.ended_at"),
        "latency": Column(Type.NUMBER, LATENCY_MS),
        "time_to_first_token": Column(Type.NUMBER, "(r.time_to_first_token_us / 1000::numeric)"),
        "status": Column(Type.NUMBER, "r.status"),
        "model": Column(Type.TEXT, "r.model"),
        "provider": Column(Type.TEXT, "r.provider"),
        "user_id": Column(Type.TEXT, "r.user_id"),
        "target_url": Column(Type.TEXT, "r.target_url"),
        "cost": Column(Type.USD, "coalesce(r.cost_nanousd, 0)"),
        "prompt_tokens": Column(Type.NUMBER, "r.prompt_tokens"),
        "completion_tokens": Column(Type.NUMBER, "r.completion_tokens"),
        "prompt_cache_read_tokens": Column(Type.NUMBER, "r.cache_read_tokens"),
        "prompt_cache_write_tokens": Column(Type.NUMBER, "r.cache_write_tokens"),
        "total_tokens": Column(Type.NUMBER, "(r.prompt_tokens + r.completion_tokens + r.reasoning_tokens)"),
        "request_body": Column(Type.TEXT, REQUEST_BODY),
        "response_body": Column(Type.TEXT, RESPONSE_BODY),
        "properties": Column(Type.PROPERTY, ""),
        "property_key": Column(Type.PROPERTY_KEY, ""),
        "scores": None,
        "helicone-score-feedback": None,
        "scores_column": None,
        "cached": Column(Type.BOOLEAN, "false"),
        "cache_enabled": Column(Type.BOOLEAN, "(r.properties ? 'Helicone-Cache-Enabled')"),
        "cache_reference_id": Column(Type.TEXT, "'00000000-0000-0000-0000-000000000000'"),
        "prompt_id": Column(Type.TEXT, PROMPT_ID),
        "prompt_version": Column(Type.TEXT, NOT_RECORDED),
        "request_referrer": Column(Type.TEXT, NOT_RECORDED),
        "country_code": Column(Type.TEXT, NOT_RECORDED),
        "node_id": Column(Type.TEXT, NOT_RECORDED),
        "job_id": Column(Type.TEXT, NOT_RECORDED),
        "assets": Column(Type.TEXT, NOT_RECORDED),
        "threat": Column(Type.BOOLEAN, "false"),
        "is_passthrough_billing": Column(Type.BOOLEAN, "false"),
        "organization_id": Column(Type.PROJECT_ID, "r.project_id"),
    },
    "request": {
        "id": Column(Type.REQUEST_ID, "r.event_id"),
        "created_at": Column(Type.TIME, "r.started_at"),
        "user_id": Column(Type.TEXT, "r.user_id"),
        "model": Column(Type.TEXT, "r.request_model"),
        "modelOverride": Column(Type.TEXT, "r.model_override"),
        "path": Column(Type.TEXT, "r.target_url"),
        "country_code": Column(Type.TEXT, NOT_RECORDED),
        "prompt_id": Column(Type.TEXT, PROMPT_ID),
        "node_id": Column(Type.TEXT, NOT_RECORDED),
        "org_id": Column(Type.PROJECT_ID, "r.project_id"),
        "auth_hash": Column(Type.TEXT, NOT_RECORDED),
        "prompt": Column(Type.TEXT, REQUEST_BODY),
    },
    "response": {
        "status": Column(Type.NUMBER, "r.status"),
        "model": Column(Type.TEXT, "r.response_model"),
        "body_model": Column(Type.TEXT, "r.response_model"),
        "body_tokens": Column(Type.NUMBER, "(r.prompt_tokens + r.completion_tokens)"),
        "body_completion": Column(Type.TEXT, RESPONSE_BODY),
    },
    "sessions_request_response_rmt": {
        "session_session_id": Column(Type.TEXT, "f.session_id", Level.SESSION),
        "session_session_name": Column(Type.TEXT, "coalesce(f.name, '')", Level.SESSION),
        "session_total_cost": Column(Type.USD, "f.cost_nanousd", Level.SESSION),
        "session_total_tokens": Column(Type.NUMBER, "(f.prompt_tokens + f.completion_tokens)", Level.SESSION),
        "session_prompt_tokens": Column(Type.NUMBER, "f.prompt_tokens", Level.SESSION),
        "session_total_prompt_tokens": Column(Type.NUMBER, "f.prompt_tokens", Level.SESSION),
        "session_completion_tokens": Column(Type.NUMBER, "f.completion_tokens", Level.SESSION),
        "session_total_completion_tokens": Column(Type.NUMBER, "f.completion_tokens", Level.SESSION),
        "session_total_requests": Column(Type.NUMBER, "f.request_count", Level.SESSION),
        "session_created_at": Column(Type.TIME, "f.first_request_at", Level.SESSION),
        "session_latest_request_created_at": Column(Type.TIME, "f.last_request_at", Level.SESSION),
        "session_tag": None,
    },
    "feedback": {"rating": None, "created_at": None, "id": None, "response_id": None},
}
"""By table and column; None where the specification knows a column that is not answered yet.

The bare table `properties` is not here: every key of it is a property's name.
"""

SESSION_PROPERTIES = {
    "helicone-session-id": Column(Type.TEXT, "f.session_id", Level.SESSION),
    "helicone-session-name": Column(Type.TEXT, "coalesce(f.name, '')", Level.SESSION),
}
"""Properties, names in lower case, that mean the session and not the request on the session endpoints."""

COLUMN_PROPERTIES = {
    "helicone-session-id": Column(Type.TEXT, "coalesce(r.session_id, '')"),
    "helicone-session-name": Column(Type.TEXT, "coalesce(r.session_name, '')"),
    "helicone-session-path": Column(Type.TEXT, "coalesce(r.session_path, '')"),
}
"""Properties, names in lower case, that have columns of their own in `requests`."""

COLUMN_PROPERTY_EXISTS = {
    "helicone-session-id": "(r.session_id IS NOT NULL)",
    "helicone-session-name": "(r.session_name IS NOT NULL)",
    "helicone-session-path": "(r.session_path IS NOT NULL)",
}

SESSION_ID_EQUALS = {
    "f.session_id": "(f.session_key = {key} AND f.session_id = {id})",
    "coalesce(r.session_id, '')": "(r.session_key = {key} AND r.session_id = {id})",
}
"""`equals` on a session id goes by the hash, which is in the key of the tables; the text then settles it."""
