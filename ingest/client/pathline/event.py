"""What one event may say, as `Client.log` takes it, and its way into JSON. Pure."""

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal, TypedDict

Kind = Literal["llm", "tool", "vector_db", "data", "span"]
Property = str | int | float | bool


class Fault(TypedDict, total=False):
    """What went wrong."""

    type: str
    message: str


class EventFields(TypedDict, total=False):
    """The fields of a native event; the server's `docs/ingest-api.md` says what each means."""

    event_id: str
    session_id: str
    session_name: str
    path: str
    user_id: str
    kind: Kind
    name: str
    started_at: float | str | datetime.datetime
    ended_at: float | str | datetime.datetime
    time_to_first_token_ms: float
    status: int
    error: Fault
    provider: str
    model: str
    usage: Mapping[str, Any]
    cost_usd: float
    cost_nanousd: int
    properties: Mapping[str, Property]
    trace_id: str
    span_id: str
    parent_span_id: str
    request: Any
    response: Any


class NotSerialisable(Exception):
    """The event holds a value that has no JSON; nothing of it was sent."""


def line(fields: Mapping[str, Any], event_id: str, logged_at: float, ended_session_id: str | None) -> str:
    """The event as one line of JSON, in ASCII.

    Raises:
        NotSerialisable: a value has no JSON.
    """
    whole = {name: value for name, value in fields.items() if value is not None}
    if ended_session_id is None:
        whole["event_id"] = event_id
        if "started_at" not in whole and "ended_at" not in whole:
            # The start is part of what makes a second copy a copy, so it is never left to the time of receipt.
            whole["started_at"] = logged_at
    return json_text(whole)


def json_text(value: object) -> str:
    """JSON in ASCII without line breaks; raises NotSerialisable."""
    try:
        return json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    except Exception as fault:  # a value's own methods may raise anything
        raise NotSerialisable(str(fault)[:200]) from fault


def _plain(value: object) -> object:
    """The usual values that JSON does not know, as ones that it knows."""
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID | pathlib.PurePath | decimal.Decimal):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set | Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON")
