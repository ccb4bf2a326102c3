"""What lies on the topic of spans: a span's protobuf as it is, behind an envelope in JSON.

    value    = FORM, envelope length u32 (big endian), envelope, message
    message  = a protobuf `TracesData` with one resource, one scope and one span, up to the value's end

No JSON begins with FORM, so that nobody takes one form of record for the other. In memory it is a `Record` like others,
whose `content` is the message.
"""

import struct
from base64 import b64encode
from collections.abc import Mapping

import msgspec

from ingest.event import InvalidEvent, Record, encode_record

SOURCE = "otlp"
FORM = 2
"""The first byte, and the `schema_version` of these records. Raised when an older processor would misread them."""

_TEXT = 0x20
"""From here on bytes begin texts, among them the JSON of other records."""

_head = struct.Struct(">BI")
_encode = msgspec.json.Encoder().encode


class _Envelope(msgspec.Struct, gc=False):
    project_id: int
    settings_version: int
    received_at_us: int
    event_id: str
    source: str
    session_id: str | None = None
    headers: dict[str, str] = {}


class _Settled(msgspec.Struct, gc=False):
    project_id: int
    settings_version: int


class _Base64(msgspec.Struct, gc=False):
    span: str


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_settled_decoder = msgspec.json.Decoder(_Settled)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def shared_envelope(project_id: int, settings_version: int, received_at_us: int, headers: Mapping[str, str]) -> bytes:
    """What the envelopes of one export's spans have in common: an object that is left open."""
    shared: dict[str, object] = {
        "source": SOURCE,
        "project_id": project_id,
        "settings_version": settings_version,
        "received_at_us": received_at_us,
    }
    if headers:
        shared["headers"] = headers
    return _encode(shared)[:-1]


def span_value(shared: bytes, event_id: str, session_id: str | None, message: bytes) -> bytes:
    """A record's value; `shared` as `shared_envelope` gives it."""
    session = b',"session_id":%b' % _encode(session_id) if session_id else b""
    envelope = b'%b,"event_id":"%b"%b}' % (shared, event_id.encode(), session)
    return b"%b%b%b" % (_head.pack(FORM, len(envelope)), envelope, message)


def encode_span_record(record: Record) -> bytes:
    """The value of a span's record."""
    shared = shared_envelope(record.project_id, record.settings_version, record.received_at_us, record.headers)
    return span_value(shared, record.event_id, record.session_id, bytes(record.content))


def decode_span_record(value: bytes) -> Record:
    """Read a record's value. The message is not looked into.

    Raises:
        InvalidEvent: of another form than this code knows, cut off, or with an envelope that is none.
    """
    end = _envelope_end(value)
    try:
        found = _envelope_decoder.decode(memoryview(value)[_head.size : end])
    except _UNREADABLE as fault:
        raise InvalidEvent(f"Not a record: {fault}", code="not_a_record") from fault
    return Record(
        FORM,
        found.source,
        found.project_id,
        found.settings_version,
        found.event_id,
        found.received_at_us,
        msgspec.Raw(value[end:]),
        found.session_id,
        found.headers,
    )


def settings_of(value: bytes) -> tuple[int, int] | None:
    """The project of a record and the version of its settings; None: it is no record, as decoding will say."""
    try:
        named = _settled_decoder.decode(memoryview(value)[_head.size : _envelope_end(value)])
    except (InvalidEvent, *_UNREADABLE):
        return None
    return named.project_id, named.settings_version


def span_record_text(record: Record) -> str:
    """The whole record as JSON, for the database: the message in base64."""
    content = msgspec.Raw(_encode(_Base64(b64encode(record.content).decode())))
    return encode_record(msgspec.structs.replace(record, content=content)).decode()


def _envelope_end(value: bytes) -> int:
    if len(value) < _head.size:
        raise InvalidEvent("Not a record: it is cut off", code="not_a_record")
    form: int
    length: int
    form, length = _head.unpack_from(value)
    if form != FORM:
        if FORM < form < _TEXT:
            text = f"Unknown schema_version {form}: this processor reads {FORM}"
            raise InvalidEvent(text, code="unknown_schema_version")
        raise InvalidEvent(f"Not a record: it begins with byte {form}, not with {FORM}", code="not_a_record")
    if _head.size + length > len(value):
        raise InvalidEvent("Not a record: its envelope is cut off", code="not_a_record")
    return _head.size + length
