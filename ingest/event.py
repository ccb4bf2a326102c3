"""THE contract of the wire: what ingest publishes (`Record`), what it decodes to (`Event`), and their keys.

A record is the client's own content in an envelope: one JSON object, but for spans (`ingest.decode.spans.records`). The
envelope holds only what routing needs; everything derived (kind, model, tokens, cost, error, path) is computed in the
processors, so that a replay after a fix repairs it. Bodies are carried as the JSON text that was received, cut out and
never re-encoded.

Imported downstream by `processors`; it imports nothing of the other modules of `ingest`.
"""

import os
import re
import struct
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

import msgspec
import xxhash
from asyncpg.pgproto.pgproto import UUID as PostgresUUID

SCHEMA_VERSION = 1
"""Raised when a record changes so that an older processor would misread it; an unknown version is a dead letter."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
FAR_DAY = date(1, 1, 1)
"""The ordinary partition of events that start outside [receipt - 400 d, receipt + 2 d]."""

TEXT_BYTES_MAX = 1_024
"""Session id, session name, path and user id, in bytes of UTF-8 (ingest.md section 5)."""
PROPERTY_NAME_BYTES_MAX = 256
PROPERTY_VALUE_BYTES_MAX = 16 * 1024
PROPERTIES_MAX = 200
STATUS_MIN, STATUS_MAX = -999, 999
TOKENS_MAX = 2**40
COST_NANOUSD_MAX = 10**15
FUTURE_MAX = timedelta(hours=24)
"""An event may start or end at most this long after its receipt: clocks differ, but not by days."""
PAST_IN_UUID_MAX = timedelta(days=400)
"""A time inside a client's UUID counts as the start only when it is not older than this."""

REQUEST_KINDS = frozenset({"llm", "tool", "vector_db", "data"})
"""The kinds that count as requests; `span` and `session_end` are events but not requests."""
ERROR_STATUSES = frozenset({-1, -3, -4})
"""Timeout, cancelled, threat blocked. -2 (pending) is neither success nor error."""


class InvalidEvent(ValueError):
    """An event that can never be stored, with the text that its sender reads and a stable code.

    Raised at the door for what is sent (answered 4xx), and in the processors for what lies on the topic (dead letter).
    """

    def __init__(self, text: str, *, code: str = "invalid_event", status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.status = status


NO_BODY = msgspec.Raw()
"""The side was not sent. Omitted from the wire, because defaults are."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What lies on a topic. On that of events it is one JSON object."""

    schema_version: int
    source: str
    """The door: `native`, `native.end`, `otlp`, or `helicone.<PROVIDER>`; chooses the decoder."""
    project_id: int
    settings_version: int
    """Of the project when the event was received; every later decode uses these settings."""
    event_id: str
    """UUID, lower case. Unique with (project, UTC start day): the idempotency key."""
    received_at_us: int
    """Unix microseconds, the door's clock."""
    content: msgspec.Raw
    """The client's own fields without the bodies; its shape is the source's. Of a span: protobuf."""
    session_id: str | None = None
    headers: dict[str, str] = {}
    """HTTP headers that have meaning, names lower-cased; never a credential."""
    request: msgspec.Raw = NO_BODY
    response: msgspec.Raw = NO_BODY


class Event(msgspec.Struct, gc=False):
    """What a record decodes to. Times are aware UTC datetimes, amounts integers; ranges as in ingest.md section 5."""

    project_id: int
    event_id: UUID
    kind: str
    """`llm`, `tool`, `vector_db`, `data` (requests); `span`, `session_end` (not requests)."""
    source: str
    started_at: datetime
    ended_at: datetime
    received_at: datetime
    status: int = 200
    is_error: bool = False
    session_id: str | None = None
    session_name: str | None = None
    path: str | None = None
    """As sent; `normalise_path` gives the roll-up's. None: none was sent."""
    time_to_first_token_us: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    provider: str = ""
    model: str = ""
    """The label: a model name, `tool:<name>`, `vector_db`, `data:<name>`."""
    request_model: str | None = None
    response_model: str | None = None
    model_override: str | None = None
    target_url: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    cost_nanousd: int | None = None
    """None: none was reported and no price is known."""
    price_version: str | None = None
    """Of the price table that the cost was computed with; None: the client reported the cost, or there is none."""
    user_id: str = ""
    properties: dict[str, str] = {}
    """Without the session's id, name and path, which have fields of their own."""
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    flags: list[str] = []
    """What decoding had to bend, e.g. `tokens_clamped`."""
    decoded_request_body: str | None = None
    """Only where decoding made the body, out of a span's attributes. JSON text, as the next."""
    decoded_response_body: str | None = None
    """Only where decoding made another body than was received (a folded stream, plain text made a JSON string)."""
    outcome: str | None = None
    """`session_end` only: `completed` or `failed`."""
    outcome_reason: str | None = None


_record_encoder = msgspec.json.Encoder()
_record_buffer = bytearray()
"""Grown by the first records and used by all: growing a new one for each costs as much as the encoding."""
_record_decoder = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """The record's value on the topic. The bodies are copied, not parsed."""
    _record_encoder.encode_into(record, _record_buffer)
    return bytes(_record_buffer)


def decode_record(value: bytes) -> Record:
    """Read a record's value.

    Raises:
        InvalidEvent: not JSON, not a record, or of a schema version that this code does not know.
    """
    try:
        record = _record_decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidEvent(f"Not a record: {fault}", code="not_a_record") from fault
    if record.schema_version != SCHEMA_VERSION:
        text = f"Unknown schema_version {record.schema_version}: this processor reads {SCHEMA_VERSION}"
        raise InvalidEvent(text, code="unknown_schema_version")
    return record


def routing_key(project_id: int, session_id: str | None, event_id: str) -> bytes:
    """The record's key, 16 bytes: a session's events share it, an event without a session has its own."""
    return _session_key(project_id, session_id) if session_id else _key(f"{project_id}\0e{event_id}")


@lru_cache(maxsize=16_384)
def trace_key(project_id: int, trace_id: str) -> bytes:
    """The key of a span's record, 16 bytes; `trace_id` in lower-case hex. A trace lies in one partition.

    Remembered, because the spans of a trace come close together.
    """
    return _key(f"{project_id}\0t{trace_id}")


def _key(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=16_384)
def _session_key(project_id: int, session_id: str) -> bytes:
    """A session's events come close together, so most keys were computed a moment ago. Bounded: 16 MiB of long ids."""
    return _key(f"{project_id}\0s{session_id}")


_first_64_bits = struct.Struct(">Q").unpack_from


def partition_of(key: bytes, partitions: int) -> int:
    """The one partitioner, shared by every producer. `key` is already a uniform hash."""
    return int(_first_64_bits(key)[0]) % partitions


def text_key(text: str) -> UUID:
    """A 128-bit hash of a text of free length, for use in a database key.

    Cryptographic on purpose: a session id can come from a stranger, who must not be able to make two collide.
    """
    # A uuid.UUID in C: these are hashed, compared and sorted many times per event.
    return PostgresUUID(blake2b(text.encode(), digest_size=16).digest())


def from_us(microseconds: int) -> datetime:
    """Unix microseconds as an aware datetime.

    Raises:
        InvalidEvent: beyond the year 9999 or before the year 1.
    """
    try:
        return EPOCH + _MICROSECOND * microseconds
    except OverflowError as fault:
        raise InvalidEvent(f"Time out of range: {microseconds} µs", code="invalid_time") from fault


def to_us(moment: datetime) -> int:
    """An aware datetime as Unix microseconds, exact."""
    return (moment - EPOCH) // _MICROSECOND


def start_day(started_at: datetime, received_at: datetime) -> date:
    """The day partition of an event: the UTC day of its start, or the constant day for starts far from the receipt."""
    if received_at - timedelta(days=400) <= started_at <= received_at + timedelta(days=2):
        return started_at.astimezone(UTC).date()
    return FAR_DAY


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_GREGORIAN_TO_UNIX_TICKS = 0x01B21DD213814000
"""100 ns ticks between 1582-10-15 and 1970-01-01 (RFC 9562 section 5.1)."""


def parse_uuid(text: str) -> str | None:
    """The UUID in lower case if `text` is one of version 1 to 8 in its 36-character form (RFC 9562), else None."""
    if _UUID.fullmatch(text):
        return text
    lowered = text.lower()
    return lowered if _UUID.fullmatch(lowered) else None


def new_event_id(now_us: int) -> str:
    """A UUIDv7 (RFC 9562 section 5.7) for an event that was sent without an id; `now_us` in Unix microseconds."""
    value = (now_us // 1000) << 80 | 0x7 << 76 | 0x2 << 62
    noise = int.from_bytes(os.urandom(10), "big")
    value |= (noise >> 6 & 0xFFF) << 64 | noise >> 18
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid_time_us(event_id: str) -> int | None:
    """The time inside a UUID of version 1, 6 or 7 in Unix microseconds; None for the others."""
    version = event_id[14]
    if version not in "167":
        return None
    value = int(event_id.replace("-", ""), 16)
    if version == "7":
        return (value >> 80) * 1000
    if version == "6":
        ticks = (value >> 80) << 12 | (value >> 64) & 0xFFF
    else:
        ticks = ((value >> 64) & 0xFFF) << 48 | ((value >> 80) & 0xFFFF) << 32 | value >> 96
    return (ticks - _GREGORIAN_TO_UNIX_TICKS) // 10


def default_start_us(event_id: str, received_at_us: int) -> int:
    """The start of an event that has no time of its own: its UUID's, when that has a plausible one, else its receipt.

    So a resend has the same start day, and copies of one event stay one event (design: idempotency).
    """
    inside = uuid_time_us(event_id)
    if inside is not None:
        oldest = received_at_us - PAST_IN_UUID_MAX // timedelta(microseconds=1)
        newest = received_at_us + FUTURE_MAX // timedelta(microseconds=1)
        if oldest <= inside <= newest:
            return inside
    return received_at_us


def normalise_path(path: str | None) -> str:
    """The roll-up's path: leading `/`, no empty segments, no trailing slash, case kept; `/` when there is none."""
    if not path:
        return "/"
    return "/" + "/".join(segment for segment in path.split("/") if segment)


def is_error_status(status: int) -> bool:
    """Whether a status alone makes an event an error (ingest.md section 5)."""
    return status >= 400 or status in ERROR_STATUSES
