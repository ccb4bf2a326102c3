"""What one event may say, as `Client.log` takes it, and its way into JSON. Pure."""

import dataclasses
import datetime
import decimal
import enum
import itertools
import json
import pathlib
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal, NamedTuple, TypedDict

Kind = Literal["llm", "tool", "vector_db", "data", "span"]
Property = str | int | float | bool

SAMPLED_VALUES = 8
"""Values of a container whose length is looked at; the others are taken to be alike."""

SAMPLED_DEPTH = 3
"""Containers within containers that are looked into."""

OBJECT_BYTES = 1_024
"""What an object of unknown length is taken for."""


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


class Waiting(NamedTuple):
    """One event in the queue, not yet looked at."""

    fields: Mapping[str, Any]
    event_id: str
    logged_ns: int
    approximate_bytes: int
    ended_session_id: str | None = None
    """Set when these are the fields of a session's end."""


Queued = tuple[Mapping[str, Any], str, int, int, str | None]
"""The same while it is queued: a bare tuple costs a tenth, and `log` is in a hurry."""


class NotSerialisable(Exception):
    """The event holds a value that has no JSON; nothing of it was sent."""


def approximate_bytes(value: object, depth: int = SAMPLED_DEPTH) -> int:
    """How long the JSON of a value is, more or less, at a cost that does not grow with it."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)  # type: ignore[arg-type]  # the line before says that it has a length
    if kind is int or kind is float or kind is bool or value is None:
        return 16
    if kind is dict:
        values: Any = value.values()  # type: ignore[attr-defined]  # likewise
    elif kind is list or kind is tuple:
        values = value
    else:
        return OBJECT_BYTES
    count = len(values)
    if depth == 0:
        return 64 * count
    sampled = values if count <= SAMPLED_VALUES else itertools.islice(values, SAMPLED_VALUES)
    total = 0
    for inner in sampled:
        # Most values are text; a call for each would cost more than all the rest.
        kind = type(inner)
        if kind is str:
            total += len(inner)
        elif kind is not int and kind is not float:
            total += approximate_bytes(inner, depth - 1)
    return 16 * count + (total if count <= SAMPLED_VALUES else total * count // SAMPLED_VALUES)


def encoded(event: Waiting) -> bytes:
    """The event as one line of JSON.

    Raises:
        NotSerialisable: a value has no JSON, or was changed meanwhile by someone else.
    """
    fields = {name: value for name, value in event.fields.items() if value is not None}
    if event.ended_session_id is not None:
        return json_bytes(fields)
    fields["event_id"] = event.event_id
    if "started_at" not in fields and "ended_at" not in fields:
        # The start is part of what makes a second copy a copy, so it is never left to the time of receipt.
        fields["started_at"] = event.logged_ns / 1e9
    return json_bytes(fields)


def json_bytes(value: object) -> bytes:
    """JSON in ASCII without line breaks; raises NotSerialisable."""
    try:
        text = json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    except Exception as fault:  # a value's own methods may raise anything
        raise NotSerialisable(str(fault)[:200]) from fault
    return text.encode("ascii")


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
