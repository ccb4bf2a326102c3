"""What one transaction stores: decoded events and dead letters, partition by partition. Pure."""

from datetime import date, datetime
from uuid import UUID

import msgspec
import xxhash
from asyncpg.pgproto.pgproto import UUID as PostgresUUID

from ingest.decode.record import decode
from ingest.event import NO_BODY, Event, InvalidEvent, decode_record, encode_record, from_us, start_day

LONGEST_DETAIL_CHARACTERS = 500
"""Of a dead letter's explanation; the record itself is kept whole beside it."""


# Structs without garbage collection: tens of thousands live at once, none of them in a cycle.
class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a record lies on its topic."""

    topic: str
    partition: int
    offset: int


class Decoded(msgspec.Struct, gc=False):
    """A record that became an event, with what the table `records` keeps of it."""

    place: Place
    key: bytes | None
    value: bytes
    event: Event
    day: date
    envelope: str
    request_body: str | None
    response_body: str | None
    content_hash: UUID


class DeadLetter(msgspec.Struct, gc=False):
    """A record that did not become an event. `step` is `decode` or `store`; `reason` a stable code."""

    place: Place
    key: bytes | None
    value: bytes | None
    step: str
    reason: str
    detail: str


class Slice(msgspec.Struct):
    """One partition's share of a batch: a run of offsets without a gap, and what became of each record."""

    topic: str
    partition: int
    expected_offset: int
    """The stored offset that this slice continues from."""
    epoch: int
    """Of the partition's position in this worker; a slice decoded before a seek is stale and is dropped."""
    next_offset: int
    end_offset: int
    """The partition's end as the consumer last saw it."""
    as_of: datetime
    """Broker time of the last record."""
    events: list[Decoded] = []
    dead_letters: list[DeadLetter] = []


def take(target: Slice, place: Place, key: bytes | None, value: bytes | None) -> None:
    """Decode one record into `target`. A record that cannot be decoded becomes a dead letter; nothing is raised."""
    target.next_offset = place.offset + 1
    try:
        if value is None:
            raise InvalidEvent("The record has no value", code="no_value")
        target.events.append(_decode(place, key, value))
    except InvalidEvent as fault:
        detail = fault.text[:LONGEST_DETAIL_CHARACTERS]
        target.dead_letters.append(DeadLetter(place, key, value, "decode", fault.code, detail))


def _decode(place: Place, key: bytes | None, value: bytes) -> Decoded:
    record = decode_record(value)
    try:
        event = decode(record)
        request_body, response_body = _text(record.request), _text(record.response)
        envelope = encode_record(msgspec.structs.replace(record, request=NO_BODY, response=NO_BODY)).decode()
    except UnicodeDecodeError as fault:
        raise InvalidEvent(f"Not UTF-8: {fault}", code="not_utf8") from fault
    return Decoded(
        place=place,
        key=key,
        value=value,
        event=event,
        day=start_day(event.started_at, from_us(record.received_at_us)),
        envelope=envelope,
        request_body=request_body,
        response_body=response_body,
        content_hash=_content_hash(value),
    )


def _text(body: msgspec.Raw) -> str | None:
    """The body's JSON text, or None when that side was not sent."""
    raw = memoryview(body)
    return str(raw, "utf-8") if raw.nbytes else None


def _content_hash(value: bytes) -> UUID:
    """Hash of what the client sent, which follows the door's own fields: it differs when the content differs."""
    return PostgresUUID(xxhash.xxh3_128_digest(value[max(value.find(b',"content":'), 0) :]))
