"""What a client sent becomes a record: ids, limits and the session are settled, bodies cut out. Pure.

The checks are those of `ingest.decode`, which meet the record again in the processors.
"""

from collections.abc import Mapping
from typing import cast

import msgspec

from infra.projects import Credential
from ingest.decode import helicone, native
from ingest.decode.labels import first_byte
from ingest.decode.limits import check_text
from ingest.decode.metadata import (
    Metadata,
    check_metadata,
    event_id_of,
    has_meaning,
    read_metadata,
    without_secret,
)
from ingest.event import (
    NO_BODY,
    SCHEMA_VERSION,
    InvalidEvent,
    Record,
    encode_record,
    new_event_id,
    parse_uuid,
    routing_key,
)
from ingest.json_text import without_nul

_EMPTY_OBJECT = msgspec.Raw(b"{}")
_EMPTY_STRING = msgspec.Raw(b'""')
_QUOTE, _NULL = b'"n'
_OMIT = "true"
NUL_ESCAPE = rb"\u0000"
_DAY_US = 24 * 3600 * 1_000_000
_encoder = msgspec.json.Encoder()


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A record ready to publish."""

    event_id: str
    key: bytes
    value: bytes


def native_envelope(text: bytes | msgspec.Raw, sender: Credential, received_at_us: int) -> Envelope:
    """The record of one native event, from its readable JSON text.

    Raises:
        InvalidEvent: the event breaks a rule.
    """
    event = native.parse_event(text)
    if NUL_ESCAPE in bytes(text):
        request, response = event.request, event.response
        event.request = event.response = NO_BODY
        event = native.parse_event(without_nul(_encoder.encode(event)))
        event.request, event.response = request, response
    return envelope_of(event, sender, received_at_us)


def envelope_of(event: native.NativeEvent, sender: Credential, received_at_us: int) -> Envelope:
    """The record of a parsed event whose own fields hold no U+0000; takes its bodies out of it.

    Raises:
        InvalidEvent: the event breaks a rule.
    """
    request, response = event.request, event.response
    event.request = event.response = NO_BODY
    event_id = _native_id(event.event_id, received_at_us)
    value = encode_record(
        Record(
            SCHEMA_VERSION,
            "native",
            sender.project_id,
            sender.settings_version,
            event_id,
            received_at_us,
            # The event's own fields are encoded with the record, in one pass.
            cast(msgspec.Raw, event),
            event.session_id or None,
            {},
            request,
            response,
        )
    )
    content_bytes = len(value) - memoryview(request).nbytes - memoryview(response).nbytes
    checked = native.check_event(event, event_id, received_at_us, content_bytes)
    check_retention("started_at: it", checked.start_us, sender, received_at_us)
    return Envelope(event_id, routing_key(sender.project_id, event.session_id, event_id), value)


def end_envelope(session_id: str, text: bytes | msgspec.Raw, sender: Credential, received_at_us: int) -> Envelope:
    """The record that ends a session, from the request's readable JSON text.

    Raises:
        InvalidEvent: the request breaks a rule.
    """
    content = without_nul(bytes(text))
    end = native.parse_end(content)
    session_id = session_id.replace("\0", "")
    at_us = native.check_end(end, session_id, received_at_us)
    check_retention("at: it", at_us, sender, received_at_us)
    return _sealed(
        Record(
            SCHEMA_VERSION,
            "native.end",
            sender.project_id,
            sender.settings_version,
            new_event_id(received_at_us),
            received_at_us,
            msgspec.Raw(_encoder.encode(end)),
            session_id,
        )
    )


def helicone_envelope(
    text: bytes, headers: Mapping[str, str], provider: str | None, sender: Credential, received_at_us: int
) -> Envelope:
    """The record of one Helicone log; `headers` are those of the call, names lower-cased, values stripped.

    `provider` is the label that the route has; None: the log names it itself.

    Raises:
        InvalidEvent: the log breaks a rule.
    """
    log = helicone.parse_log(text)
    request = log.provider_request.json if log.provider_request.json is not NO_BODY else _EMPTY_OBJECT
    response = _take_response(log)
    provider = provider or helicone.provider_label(log.provider)
    log.taken = None
    log.provider = log.provider_request.json = NO_BODY
    log.provider_request.meta = _meaningful(log.provider_request.meta)
    content = _encoder.encode(log)
    if NUL_ESCAPE in content:
        content = without_nul(content)
        log = helicone.parse_log(content)
    kept = {name: without_secret(name, value) for name, value in headers.items() if has_meaning(name)}
    metadata = read_metadata(log.provider_request.meta or {}, kept)
    event_id = event_id_of(metadata.request_id) if metadata.request_id else new_event_id(received_at_us)
    checked = helicone.check_log(log, event_id, received_at_us)
    check_retention("timing: 'startTime'", checked.start_us, sender, received_at_us)
    check_metadata(metadata)
    check_text("provider", provider)
    record = Record(
        SCHEMA_VERSION,
        helicone.SOURCE_PREFIX + provider,
        sender.project_id,
        sender.settings_version,
        event_id,
        received_at_us,
        msgspec.Raw(content),
        metadata.session_id,
        kept,
        request,
        response,
    )
    if _OMIT in (metadata.omit_request, metadata.omit_response):
        record = _without_omitted(record, log, metadata)
    return _sealed(record)


def check_retention(what: str, start_us: int, sender: Credential, received_at_us: int) -> None:
    """Refuse an event that starts before the retention of the sender's project, at the door alone: a record that was
    accepted is decoded by whatever is kept then. `what` is how the text calls the start.

    Raises:
        InvalidEvent: it does.
    """
    days = sender.settings.retention_days
    if days is not None and start_us < received_at_us - days * _DAY_US:
        raise InvalidEvent(f"Invalid {what} is older than the retention", code="invalid_time")


def _without_omitted(record: Record, log: helicone.Log, metadata: Metadata) -> Record:
    """The record with `{"model": …}` for each omitted body and, beside it, what was read from the body before."""
    event = helicone.decode_log(record)
    log.taken = helicone.take(event)
    request, response = record.request, record.response
    if metadata.omit_request == _OMIT:
        request = msgspec.Raw(_encoder.encode({"model": event.request_model or event.model}))
    if metadata.omit_response == _OMIT:
        log.response_is_text = False
        response = msgspec.Raw(_encoder.encode({"model": event.response_model or event.model}))
    content = msgspec.Raw(_encoder.encode(log))
    return msgspec.structs.replace(record, content=content, request=request, response=response)


def _take_response(log: helicone.Log) -> msgspec.Raw:
    """Cut the response body out of a log: `textBody` when it is a non-empty string, else `json`."""
    response = log.provider_response
    log.response_is_text = first_byte(response.text_body) == _QUOTE and response.text_body != _EMPTY_STRING
    body = response.text_body if log.response_is_text else response.json
    response.text_body = response.json = response.headers = NO_BODY
    return _EMPTY_OBJECT if body is NO_BODY or first_byte(body) == _NULL else body


def _meaningful(meta: dict[str, msgspec.Raw] | None) -> dict[str, msgspec.Raw] | None:
    """`meta` without the keys that mean nothing; credentials are among those."""
    if not meta:
        return None
    kept = {}
    for key, value in meta.items():
        name = key.lower()
        if has_meaning(name):
            secret_free = without_secret(name, "")
            kept[key] = msgspec.Raw(b'"true"') if secret_free else value
    return kept or None


def _native_id(sent: str | None, received_at_us: int) -> str:
    if not sent:
        return new_event_id(received_at_us)
    event_id = parse_uuid(sent)
    if event_id is None:
        text = f"Invalid event_id: '{sent[:64]}' is not a UUID of version 1 to 8"
        raise InvalidEvent(text, code="invalid_id")
    return event_id


def _sealed(record: Record) -> Envelope:
    key = routing_key(record.project_id, record.session_id, record.event_id)
    return Envelope(record.event_id, key, encode_record(record))
