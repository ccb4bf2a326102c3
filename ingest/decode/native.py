"""Native events (spec: native.md): what a client may send, the checks, and what it decodes to. Pure."""

from typing import Any

import msgspec
from asyncpg.pgproto.pgproto import UUID as PostgresUUID

from ingest.decode.cost import nanousd
from ingest.decode.json_faults import UNREADABLE, refusal
from ingest.decode.limits import (
    FUTURE_MAX_US,
    TIME_TO_FIRST_TOKEN_MS_MAX,
    check_properties,
    check_status,
    check_text,
)
from ingest.decode.times import NotATime, iso_us, number_us
from ingest.decode.usage import native_tokens, set_tokens
from ingest.event import (
    COST_NANOUSD_MAX,
    NO_BODY,
    PROPERTY_NAME_BYTES_MAX,
    REQUEST_KINDS,
    STATUS_MAX,
    STATUS_MIN,
    TEXT_BYTES_MAX,
    Event,
    InvalidEvent,
    Record,
    default_start_us,
    from_us,
    is_error_status,
)

KINDS = REQUEST_KINDS | {"span"}
OUTCOMES = ("completed", "failed")
_PLAIN_SKEW_SECONDS = 3_600
"""Times this much after the receipt are well below `FUTURE_MAX`, whatever is rounded."""
_COST_USD_MAX = COST_NANOUSD_MAX // 1_000_000_000


class Fault(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What went wrong in the logged operation. Its presence makes the event an error."""

    type: str | None = None
    message: str | None = None


class NativeEvent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One event as it is sent; the record's content is the same without the two bodies."""

    event_id: str | None = None
    session_id: str | None = None
    session_name: str | None = None
    path: str | None = None
    user_id: str | None = None
    kind: str | None = None
    name: str | None = None
    started_at: int | float | str | None = None
    ended_at: int | float | str | None = None
    time_to_first_token_ms: int | float | None = None
    status: int | None = None
    error: Fault | None = None
    provider: str | None = None
    model: str | None = None
    usage: msgspec.Raw = NO_BODY
    cost_usd: int | float | None = None
    cost_nanousd: int | None = None
    properties: msgspec.Raw = NO_BODY
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    request: msgspec.Raw = NO_BODY
    response: msgspec.Raw = NO_BODY


class SessionEnd(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Body of `POST /v1/sessions/{id}/end`."""

    outcome: str
    reason: str | None = None
    at: int | float | str | None = None


class Checked(msgspec.Struct, frozen=True, gc=False):
    """What the checks computed on the way."""

    start_us: int
    end_us: int
    properties: dict[str, str]


_SHORT_TEXTS = (
    "session_id",
    "session_name",
    "path",
    "user_id",
    "name",
    "provider",
    "model",
    "trace_id",
    "span_id",
    "parent_span_id",
)
_event_decoder = msgspec.json.Decoder(NativeEvent)
_array_decoder = msgspec.json.Decoder(list[NativeEvent])
_end_decoder = msgspec.json.Decoder(SessionEnd)
_any_decoder = msgspec.json.Decoder(Any)
_text_properties_decoder = msgspec.json.Decoder(dict[str, str])
_properties_decoder = msgspec.json.Decoder(dict[str, str | int | float | bool | None] | None)
_raw_properties_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse_event(text: bytes | msgspec.Raw) -> NativeEvent:
    """Read one event's JSON. Values are typed, not yet checked.

    Raises:
        InvalidEvent: not an event; the text names the field and the remedy.
    """
    try:
        return _event_decoder.decode(text)
    except UNREADABLE as fault:
        raise refusal(fault) from fault


def parse_array(text: bytes) -> list[NativeEvent] | None:
    """Read an array of events at once; None when any of it is not as it should be, and each must be looked at alone."""
    try:
        return _array_decoder.decode(text)
    except UNREADABLE:
        return None


def parse_end(text: bytes | msgspec.Raw) -> SessionEnd:
    """Read the body that ends a session; raises like `parse_event`."""
    try:
        return _end_decoder.decode(text)
    except UNREADABLE as fault:
        raise refusal(fault) from fault


def check_event(event: NativeEvent, event_id: str, received_at_us: int, content_bytes: int) -> Checked:
    """Every rule that one event's own fields must keep; `content_bytes` is the JSON's length without bodies.

    Raises:
        InvalidEvent: the first rule that is broken.
    """
    _check_fields(event, content_bytes)
    start_us, end_us = _times(event, event_id, received_at_us)
    properties = _properties(event.properties)
    return Checked(start_us, end_us, properties)


def admit_event(event: NativeEvent, event_id: str, received_at_us: int, content_bytes: int) -> None:
    """The same rules for the door, which needs no result: raises like `check_event`."""
    _check_fields(event, content_bytes)
    start, end = event.started_at, event.ended_at
    # Nearly all times are numbers in order and far from every limit: microseconds, which keep the order, say the same.
    plain_max = received_at_us / 1_000_000 + _PLAIN_SKEW_SECONDS
    if not (type(start) is float and type(end) is float and 0 <= start <= end <= plain_max):
        _times(event, event_id, received_at_us)
    if event.properties is not NO_BODY:
        _properties(event.properties)


def _check_fields(event: NativeEvent, content_bytes: int) -> None:
    # JSON text is never shorter than what it spells: in a small content no text can be too long.
    if content_bytes > TEXT_BYTES_MAX:
        _check_texts(event)
    if event.kind is not None and event.kind not in KINDS:
        kinds = ", ".join(sorted(KINDS))
        raise InvalidEvent(f"Invalid kind: '{event.kind[:64]}' is none of {kinds}", code="invalid_kind")
    if event.status is not None and not STATUS_MIN <= event.status <= STATUS_MAX:
        check_status(event.status)
    if event.time_to_first_token_ms is not None or event.cost_usd is not None or event.cost_nanousd is not None:
        _check_amounts(event)


def check_end(end: SessionEnd, session_id: str | None, received_at_us: int) -> int:
    """The rules of a session's end; gives the time of the end in Unix microseconds.

    Raises:
        InvalidEvent: the first rule that is broken.
    """
    if not session_id:
        raise InvalidEvent("Invalid session id: it is empty", code="missing_field")
    check_text("session id", session_id)
    if end.outcome not in OUTCOMES:
        text = f"Invalid outcome: '{end.outcome[:64]}' is neither completed nor failed"
        raise InvalidEvent(text, code="invalid_outcome")
    if end.at is None:
        return received_at_us
    return _time("at", end.at, received_at_us)


def decode_event(record: Record) -> Event:
    """The event in a record of source `native`.

    Raises:
        InvalidEvent: it can never be stored.
    """
    sent = parse_event(record.content)
    checked = check_event(sent, record.event_id, record.received_at_us, memoryview(record.content).nbytes)
    check_text("session_id", record.session_id)
    kind = sent.kind or ("llm" if sent.model else "data")
    # Attributes are set one by one: for a struct of this many fields, keywords cost ten times as much.
    event = Event(
        record.project_id,
        PostgresUUID(record.event_id),
        kind,
        record.source,
        from_us(checked.start_us),
        from_us(checked.end_us),
        from_us(record.received_at_us),
    )
    event.session_id = record.session_id or None
    event.session_name = sent.session_name or None
    event.path = sent.path or None
    event.model = label(kind, sent.name, sent.model)
    event.properties = checked.properties
    if sent.model:
        event.request_model = sent.model
    if sent.provider:
        event.provider = sent.provider
    if sent.user_id:
        event.user_id = sent.user_id
    _set_outcome(event, sent)
    if sent.usage is not NO_BODY:
        set_tokens(event, native_tokens(_usage(sent.usage, event.flags), event.flags))
    event.cost_nanousd = sent.cost_nanousd if sent.cost_usd is None else nanousd(sent.cost_usd)
    event.trace_id = sent.trace_id or None
    event.span_id = sent.span_id or None
    event.parent_span_id = sent.parent_span_id or None
    return event


def _usage(text: msgspec.Raw, flags: list[str]) -> Any:
    """What was sent; nothing, and a flag, when a number in it is beyond a double: the door does not look into it."""
    try:
        return _any_decoder.decode(text)
    except UNREADABLE:
        flags.append("usage_unreadable")
        return None


def _set_outcome(event: Event, sent: NativeEvent) -> None:
    if sent.status is not None:
        event.status = sent.status
        event.is_error = is_error_status(sent.status)
    if sent.error is not None:
        event.is_error = True
        event.error_type = sent.error.type
        event.error_message = sent.error.message
    if sent.time_to_first_token_ms is not None:
        event.time_to_first_token_us = number_us(sent.time_to_first_token_ms, 1_000)


def decode_end(record: Record) -> Event:
    """The event in a record of source `native.end`.

    Raises:
        InvalidEvent: it can never be stored.
    """
    sent = parse_end(record.content)
    at = from_us(check_end(sent, record.session_id, record.received_at_us))
    return Event(
        project_id=record.project_id,
        event_id=PostgresUUID(record.event_id),
        kind="session_end",
        source=record.source,
        started_at=at,
        ended_at=at,
        received_at=from_us(record.received_at_us),
        session_id=record.session_id,
        outcome=sent.outcome,
        outcome_reason=sent.reason or None,
    )


def label(kind: str, name: str | None, model: str | None) -> str:
    """The model label of a kind (ingest.md section 9); a span's is its name."""
    if kind == "llm":
        return model or "unknown"
    if kind == "tool":
        return f"tool:{name or 'unknown'}"
    if kind == "data":
        return f"data:{name or 'unknown'}"
    return "vector_db" if kind == "vector_db" else name or ""


def _check_texts(event: NativeEvent) -> None:
    for name in _SHORT_TEXTS:
        check_text(name, getattr(event, name))
    if event.error is not None:
        check_text("error.type", event.error.type)


def _check_amounts(event: NativeEvent) -> None:
    wait_ms = event.time_to_first_token_ms
    if wait_ms is not None and not 0 <= wait_ms <= TIME_TO_FIRST_TOKEN_MS_MAX:
        text = f"Invalid time_to_first_token_ms: {wait_ms} is not between 0 and {TIME_TO_FIRST_TOKEN_MS_MAX}"
        raise InvalidEvent(text, code="invalid_amount")
    usd = event.cost_usd
    if usd is not None and not 0 <= usd <= _COST_USD_MAX:
        text = f"Invalid cost_usd: {usd} is not between 0 and {_COST_USD_MAX}"
        raise InvalidEvent(text, code="invalid_amount")
    nano = event.cost_nanousd
    if nano is not None and not 0 <= nano <= COST_NANOUSD_MAX:
        text = f"Invalid cost_nanousd: {nano} is not between 0 and {COST_NANOUSD_MAX}"
        raise InvalidEvent(text, code="invalid_amount")
    if usd is not None and nano is not None:
        raise InvalidEvent("Invalid cost_usd: send it or cost_nanousd, not both", code="invalid_amount")


def _times(event: NativeEvent, event_id: str, received_at_us: int) -> tuple[int, int]:
    """Start and end. An event that has only an end starts there, so that a resend starts on the same day."""
    start, end = event.started_at, event.ended_at
    end_us = None if end is None else _time("ended_at", end, received_at_us)
    if start is not None:
        start_us = _time("started_at", start, received_at_us)
    elif end_us is not None:
        start_us = end_us
    else:
        start_us = default_start_us(event_id, received_at_us)
    if end_us is None:
        end_us = start_us
    if start_us > end_us:
        raise InvalidEvent("Invalid started_at: it is later than ended_at", code="invalid_time")
    return start_us, end_us


def _time(name: str, value: float | str, received_at_us: int) -> int:
    if isinstance(value, str):
        try:
            us = iso_us(value, zone_required=True)
        except NotATime as fault:
            raise InvalidEvent(f"Invalid {name}: {fault}", code="invalid_time") from fault
    else:
        us = number_us(value, 1_000_000)
    if 0 <= us <= received_at_us + FUTURE_MAX_US:
        return us
    reason = "it is before 1970" if us < 0 else "it is in the future"
    raise InvalidEvent(f"Invalid {name}: {reason}", code="invalid_time")


def _properties(text: msgspec.Raw) -> dict[str, str]:
    """Properties as strings: a string as is, a number or boolean as its JSON text, null as absent."""
    if text is NO_BODY:
        return {}
    try:
        properties = _text_properties_decoder.decode(text)
    except UNREADABLE:
        properties = _spelled(text)
    # JSON text is never shorter than what it spells: in so small an object nothing can be over its limit.
    if len(memoryview(text)) > PROPERTY_NAME_BYTES_MAX:
        check_properties(properties)
    return properties


def _spelled(text: msgspec.Raw) -> dict[str, str]:
    """The slow way, for properties that are not all strings: numbers keep the digits that were sent."""
    try:
        if not _properties_decoder.decode(text):
            return {}
    except UNREADABLE as fault:
        reason = "expected an object of strings, numbers and booleans"
        raise InvalidEvent(f"Invalid properties: {reason}", code="invalid_type") from fault
    properties = {}
    for name, raw in _raw_properties_decoder.decode(text).items():
        spelling = bytes(raw).decode()
        if spelling.startswith('"'):
            properties[name] = str(_any_decoder.decode(raw))
        elif spelling != "null":
            properties[name] = spelling
    return properties
