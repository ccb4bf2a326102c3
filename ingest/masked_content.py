"""A project's masking rules applied to what the doors read, before a record is made of it. Pure.

Ids keep things apart and cannot be taken away: those of free choice become hashes where a rule matches, and an event's
own id, which must be a UUID, stays.
"""

import msgspec

from ingest.decode import helicone
from ingest.decode.labels import OBJECT, first_byte, read_facts
from ingest.decode.metadata import PROPERTY_PREFIX, PROPERTY_PREFIXES, meanings_of
from ingest.decode.native import NativeEvent, SessionEnd
from ingest.decode.streams import DecodedBody, read_chunks, read_text_body
from ingest.event import NO_BODY, parse_uuid
from ingest.json_text import without_nul
from ingest.masking import Masker

_QUOTE = ord('"')
_NATIVE_IDS = ("session_id", "trace_id", "span_id", "parent_span_id")
_NATIVE_TEXTS = ("session_name", "path", "user_id", "name", "provider", "model")
_OPEN_OBJECTS = ("usage", "properties")
_OMITTING = "true"


def mask_event(
    event: NativeEvent, request: msgspec.Raw, response: msgspec.Raw, masker: Masker
) -> tuple[msgspec.Raw, msgspec.Raw]:
    """Mask a native event in place, whose bodies were cut out of it; gives the bodies."""
    for name in _NATIVE_IDS:
        if text := getattr(event, name):
            setattr(event, name, masker.identifier(text, name))
    for name in _NATIVE_TEXTS:
        if text := getattr(event, name):
            setattr(event, name, masker.field(text, name))
    for name in _OPEN_OBJECTS:
        # Its values must stay what they are, an object's: under a rule's key there is none.
        setattr(event, name, NO_BODY if masker.hides(name) else masker.json(getattr(event, name)))
    if event.error is not None:
        if event.error.type:
            event.error.type = masker.field(event.error.type, "error", "type")
        if event.error.message:
            event.error.message = masker.field(event.error.message, "error", "message")
    return masker.json(request, "request"), masker.json(response, "response")


def mask_end(end: SessionEnd, masker: Masker) -> None:
    """Mask the end of a session in place."""
    if end.reason:
        end.reason = masker.field(end.reason, "reason")


def mask_provider(provider: msgspec.Raw, masker: Masker) -> msgspec.Raw:
    """The provider that a log names itself; masked before its letters change."""
    return provider if provider is NO_BODY else masker.json(msgspec.Raw(without_nul(bytes(provider))), "provider")


def mask_headers(headers: dict[str, str], masker: Masker) -> dict[str, str]:
    """HTTP headers that have meaning, names lower-cased."""
    return {_masked_name(name, masker): _masked_value(name, value, masker) for name, value in headers.items()}


def mask_log(
    log: helicone.Log, request: msgspec.Raw, response: msgspec.Raw, provider: str, masker: Masker
) -> tuple[msgspec.Raw, msgspec.Raw]:
    """Mask a log in place, whose bodies were cut out of it; gives the bodies. A stream leaves only as what it makes.

    Raises:
        InvalidEvent: the log's text body is no text.
    """
    log.provider_request.url = masker.field(log.provider_request.url, "url")
    if log.provider_request.meta:
        log.provider_request.meta = {
            _masked_name(name, masker): _masked_meta(name, value, masker)
            for name, value in log.provider_request.meta.items()
        }
    log.provider_response.cost = masker.json(log.provider_response.cost, "cost")
    if log.timing is not None:
        log.timing.time_to_first_token = masker.json(log.timing.time_to_first_token, "timeToFirstToken")
    response = _folded(log, response, provider)
    return masker.json(request, "request"), masker.json(response, "response")


def _folded(log: helicone.Log, response: msgspec.Raw, provider: str) -> msgspec.Raw:
    """The body as decoding would fold it: a secret that was cut into chunks is whole again, and no chunk is left."""
    body: DecodedBody | None = None
    if log.response_is_text:
        body = read_text_body(response, int(log.provider_response.status), provider, keep_chunks=False)
    elif first_byte(response) == OBJECT:
        chunks = read_facts(response, []).streamed_data
        body = read_chunks(chunks, provider, keep_chunks=False) if chunks is not NO_BODY else None
    if body is None or body.is_received:
        return response
    log.response_is_text = False
    if body.is_provider_error:
        log.provider_response.status = 500
    return msgspec.Raw(bytes(body.json))


def _masked_meta(name: str, value: msgspec.Raw, masker: Masker) -> msgspec.Raw:
    if first_byte(value) == _QUOTE:
        return msgspec.Raw(msgspec.json.encode(_masked_value(name, msgspec.json.decode(value, type=str), masker)))
    return masker.json(value, *meanings_of(name.lower()))


def _masked_value(name: str, value: str, masker: Masker) -> str:
    names = meanings_of(name.lower())
    if "session_id" in names:
        return masker.identifier(value, *names)
    if value == _OMITTING or ("request_id" in names and parse_uuid(value)):
        return value
    return masker.field(value, *names)


def _masked_name(name: str, masker: Masker) -> str:
    """A property's name is a text of the client's choice; no other name is."""
    if not name.lower().startswith(PROPERTY_PREFIXES):
        return name
    return name[: len(PROPERTY_PREFIX)] + masker.text(name[len(PROPERTY_PREFIX) :])
