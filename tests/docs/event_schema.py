"""`python -m tests.docs.event_schema`: write docs/event.schema.json anew from the struct that ingest reads."""

import json
from typing import Any, get_args, get_type_hints

import msgspec

from ingest.decode.limits import TIME_TO_FIRST_TOKEN_MS_MAX
from ingest.decode.native import KINDS, Fault, NativeEvent
from ingest.event import (
    COST_NANOUSD_MAX,
    PROPERTIES_MAX,
    STATUS_MAX,
    STATUS_MIN,
    TEXT_BYTES_MAX,
)
from tests.tidy.checkout import ROOT

PAGE = ROOT / "docs" / "event.schema.json"
UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
TIME = "ISO 8601 with a zone, or Unix seconds; at most 24 hours after the receipt, not before 1970."
SHORT = f"At most {TEXT_BYTES_MAX} bytes of UTF-8."

RULES: dict[str, dict[str, Any]] = {
    "event_id": {"pattern": UUID, "description": "UUID of version 1 to 8. Sending an event again with its id is safe."},
    "session_id": {"description": f"Events with the same id are one session. {SHORT}"},
    "session_name": {"description": f"The session's name is that of its earliest event that has one. {SHORT}"},
    "path": {"description": f"Place within the session, such as /plan/weather. {SHORT}"},
    "user_id": {"description": SHORT},
    "kind": {"enum": [*sorted(KINDS), None], "description": "Default: llm when model is given, else data."},
    "name": {"description": f"Of the tool, data or span. {SHORT}"},
    "started_at": {"description": f"{TIME} Default: the time in event_id, else of the receipt."},
    "ended_at": {"description": f"{TIME} Default: started_at."},
    "time_to_first_token_ms": {"minimum": 0, "maximum": TIME_TO_FIRST_TOKEN_MS_MAX},
    "status": {
        "minimum": STATUS_MIN,
        "maximum": STATUS_MAX,
        "description": "Default: 200. An error from 400 on, and -1 (timeout), -3 (cancelled), -4 (blocked).",
    },
    "error": {"description": "Its presence makes the event an error, whatever the status."},
    "provider": {"description": SHORT},
    "model": {"description": SHORT},
    "usage": {
        "description": "A provider's usage object, or prompt_tokens, completion_tokens, cache_read_tokens, "
        "cache_write_tokens, reasoning_tokens, audio_tokens, each without the others."
    },
    "cost_usd": {"minimum": 0, "maximum": COST_NANOUSD_MAX // 10**9, "description": "Or cost_nanousd, not both."},
    "cost_nanousd": {"minimum": 0, "maximum": COST_NANOUSD_MAX},
    "properties": {
        "type": ["object", "null"],
        "maxProperties": PROPERTIES_MAX,
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        "description": "Names of at most 256 bytes, values of 16 KiB.",
    },
    "trace_id": {"description": f"Kept, not joined. {SHORT}"},
    "span_id": {"description": f"Kept, not joined. {SHORT}"},
    "parent_span_id": {"description": f"Kept, not joined. {SHORT}"},
    "request": {"description": "What went out: any JSON, kept as it was sent."},
    "response": {"description": "What came back: any JSON, kept as it was sent."},
}
"""What the types do not say."""
TYPES = {str: "string", int: "integer", float: "number", type(None): "null"}
SHORT_TEXTS = {name for name, rule in RULES.items() if str(rule.get("description")).endswith(SHORT)} | {"type"}


def main() -> None:
    """Replace the file."""
    PAGE.write_text(text(), encoding="utf-8")


def schema() -> dict[str, Any]:
    """The event's JSON Schema (2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One event of POST /v1/events. Limits in bytes of UTF-8 are checked by the server alone.",
        **_object(NativeEvent),
    }


def text() -> str:
    """As it lies in the file."""
    return json.dumps(schema(), indent=2) + "\n"


def _object(struct: type[msgspec.Struct]) -> dict[str, Any]:
    properties = {name: _field(name, kind) for name, kind in get_type_hints(struct).items()}
    if struct is NativeEvent:
        properties = {name: {**found, **RULES[name]} for name, found in properties.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _field(name: str, kind: Any) -> dict[str, Any]:
    members = get_args(kind) or (kind,)
    if msgspec.Raw in members:
        return {}
    if Fault in members:
        return {**_object(Fault), "type": ["object", "null"]}
    types = [TYPES[member] for member in members]
    # A text that has more characters than it may have bytes is too long for certain.
    longest = {"maxLength": TEXT_BYTES_MAX} if name in SHORT_TEXTS else {}
    return {"type": [one for one in types if one != "integer" or "number" not in types], **longest}


if __name__ == "__main__":
    main()
