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
from urllib.parse import quote, unquote

import orjson

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


def line(fields: dict[str, Any], event_id: str, logged_at: float, ended_session_id: str | None) -> bytes:
    """The event as it is now: the quoted id of the session that it ends, or nothing; a space; the JSON, on one line.

    `fields` is completed in place: a copy would cost as much as the JSON. NaN and the infinities, which JSON has not,
    become null.

    Raises:
        NotSerialisable: a value has no JSON.
    """
    for value in fields.values():
        if value is None:
            fields = {name: value for name, value in fields.items() if value is not None}
            break
    ended = b" "
    if ended_session_id is not None:
        ended = quote(ended_session_id, safe="", errors="replace").encode("ascii") + b" "
    else:
        fields["event_id"] = event_id
        if "started_at" not in fields and "ended_at" not in fields:
            # The start is part of what makes a second copy a copy, so it is never left to the time of receipt.
            fields["started_at"] = logged_at
    try:
        text = orjson.dumps(fields, _plain)
    except Exception:  # noqa: BLE001 - a value's own methods may raise anything, and the other way says what is wrong
        text = _slow_json_text(fields)
    # The sum is a copy of the right size: what orjson gives holds eight times as much memory as it needs.
    return ended + text


def parted(line: bytes) -> tuple[bytes, str | None]:
    """The JSON of a line, and the id of the session that it ends."""
    ended, _, text = line.partition(b" ")
    return text, unquote(ended.decode("ascii")) or None


def _slow_json_text(value: object) -> bytes:
    """What orjson refuses and JSON has all the same: keys that are numbers, integers over 64 bits, halves of surrogate
    pairs, deep nesting.
    """
    try:
        return json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":")).encode("ascii")
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
