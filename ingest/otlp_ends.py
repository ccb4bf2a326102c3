"""Log records and span events that end a session become records of their own, keyed by the session. Pure."""

from collections.abc import Iterable, Mapping

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from infra.projects import Credential
from ingest.decode.otlp_end import SOURCE, End, check_end, end_event_id
from ingest.envelope import Envelope, check_retention, sealed
from ingest.event import SCHEMA_VERSION, InvalidEvent, Record
from ingest.masking import masker_of

SESSION_END, SESSION_START = "session.end", "session.start"
NAMES = (SESSION_END, SESSION_START)
STORED_ONLY = "only session.start and session.end are stored"

_READ = ("session.id", "session.previous_id", "error.type", "event.name")
_encoder = msgspec.json.Encoder()


def end_of_log(log: LogRecord, sender: Credential, received_at_us: int) -> Envelope | None:
    """The record of the session that a log record ends; None: a session's start that ends none.

    Raises:
        InvalidEvent: it is no log record of a session, or it breaks a rule.
    """
    told = _texts(log.body.kvlist_value.values) | _texts(log.attributes)
    name = log.event_name or told.get("event.name", "")
    if name not in NAMES:
        raise InvalidEvent(STORED_ONLY)
    time_unix_nano = log.time_unix_nano or log.observed_time_unix_nano
    return _end(End(name, time_unix_nano, log.severity_number, told.get("error.type")), told, sender, received_at_us)


def end_of_span_event(event: Span.Event, sender: Credential, received_at_us: int) -> Envelope | None:
    """The record of the session that a span event of one of `NAMES` ends; None: it ends none.

    Raises:
        InvalidEvent: it breaks a rule.
    """
    told = _texts(event.attributes)
    return _end(End(event.name, event.time_unix_nano, 0, told.get("error.type")), told, sender, received_at_us)


def _end(end: End, told: Mapping[str, str], sender: Credential, received_at_us: int) -> Envelope | None:
    session_id = told.get("session.id")
    if end.name == SESSION_START:
        if session_id and "session.previous_id" not in told:
            return None
        session_id = told.get("session.previous_id") if session_id else None
    event_id = end_event_id(end, session_id or "")
    if (masker := masker_of(sender)) and session_id:
        session_id = masker.identifier(session_id, "session.id", "session_id")
        if end.error_type:
            end = msgspec.structs.replace(end, error_type=masker.field(end.error_type, "error.type"))
    at_us = check_end(end, session_id, received_at_us)
    check_retention(f"time of {end.name}: it", at_us, sender, received_at_us)
    return sealed(
        Record(
            SCHEMA_VERSION,
            SOURCE,
            sender.project_id,
            sender.settings_version,
            event_id,
            received_at_us,
            msgspec.Raw(_encoder.encode(end)),
            session_id,
        )
    )


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """The attributes that are read here, as texts; empty ones are absent, of two with one name the last counts."""
    texts = {pair.key: _text(pair.value) for pair in attributes if pair.key in _READ}
    return {name: text for name, text in texts.items() if text}


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value.replace("\0", "")
    if kind in ("int_value", "bool_value", "double_value"):
        return msgspec.json.encode(getattr(value, kind)).decode()
    return ""
