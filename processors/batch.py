"""What one transaction stores: decoded events and dead letters, partition by partition. Pure."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec
import xxhash
from asyncpg.pgproto.pgproto import UUID as PostgresUUID

from ingest.decode.otlp import Span
from ingest.decode.record import decode
from ingest.event import FAR_DAY, NO_BODY, Event, InvalidEvent, Record, decode_record, encode_record, from_us, start_day
from processors.prices import price

LONGEST_DETAIL_CHARACTERS = 500
"""Of a dead letter's explanation; the record itself is kept whole beside it."""

CLOCK_FAR_OFF = "clock_far_off"
"""Flag of an event that starts so far from its receipt that it lies in the partition for such days."""


# Structs without garbage collection: tens of thousands live at once, none of them in a cycle.
class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a record lies on its topic, and the broker's time of it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int = 0


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
    log_time: datetime | None = None
    """Of a span's event: the span's."""
    is_recorded: bool = False
    """Another generation has stored its record."""
    is_path_provisional: bool = False
    """Path roll-ups do not take it yet: a span's path may still change (otlp.md section 7)."""


class Received(msgspec.Struct, gc=False):
    """A record that became a span."""

    place: Place
    key: bytes | None
    value: bytes
    span: Span
    log_time: datetime
    """The broker's append time, which steps back when the broker's clock does."""
    window: timedelta
    """Its project's join window when it was received."""
    trace_as_session: bool
    content_hash: UUID
    item: Decoded | None
    """None: structural."""


class DeadLetter(msgspec.Struct, gc=False):
    """A record that did not become an event. `step` is `decode` or `store`; `reason` a stable code."""

    place: Place
    key: bytes | None
    value: bytes | None
    step: str
    reason: str
    detail: str
    state: str = "open"
    """Or `drop`: a person decided that it shall never be an event."""


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
    """Greatest broker time of its records."""
    events: list[Decoded] = []
    spans: list[Received] = []
    """On the topic of spans: all of them in order, of which `events` are those that are events."""
    dead_letters: list[DeadLetter] = []


class Reader(Protocol):
    """What the loop needs to know of a topic's records."""

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Get what decoding these records needs.

        Raises:
            StoreAway: the database is in trouble; try again.
        """

    def take(self, target: Slice, place: Place, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        """Decode one record into `target`, as an event or a dead letter; `timestamp_ms` is the broker's time."""


class EventReader:
    """Reads the topic of events, whose records say everything themselves."""

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Nothing to get."""

    def take(self, target: Slice, place: Place, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        """Decode one record into `target`; nothing is raised."""
        take(target, place, key, value)


def take(target: Slice, place: Place, key: bytes | None, value: bytes | None) -> None:
    """Decode one record into `target`. A record that cannot be decoded becomes a dead letter; nothing is raised."""
    target.next_offset = place.offset + 1
    try:
        if value is None:
            raise InvalidEvent("The record has no value", code="no_value")
        target.events.append(_decode(place, key, value))
    except InvalidEvent as fault:
        target.dead_letters.append(dead_letter(place, key, value, fault))


def dead_letter(place: Place, key: bytes | None, value: bytes | None, fault: InvalidEvent) -> DeadLetter:
    """What becomes of a record that cannot be decoded."""
    return DeadLetter(place, key, value, "decode", fault.code, fault.text[:LONGEST_DETAIL_CHARACTERS])


def _decode(place: Place, key: bytes | None, value: bytes) -> Decoded:
    record = decode_record(value)
    try:
        event = decode(record)
    except UnicodeDecodeError as fault:
        raise InvalidEvent(f"Not UTF-8: {fault}", code="not_utf8") from fault
    return _decoded(place, key, value, record, event)


def _decoded(place: Place, key: bytes | None, value: bytes, record: Record, event: Event) -> Decoded:
    """A record of JSON and the event that it became.

    Raises:
        InvalidEvent: the record is not UTF-8.
    """
    try:
        request_body, response_body = _text(record.request), _text(record.response)
        envelope = encode_record(msgspec.structs.replace(record, request=NO_BODY, response=NO_BODY)).decode()
    except UnicodeDecodeError as fault:
        raise InvalidEvent(f"Not UTF-8: {fault}", code="not_utf8") from fault
    return item_of(
        place,
        key,
        value,
        record,
        event,
        envelope=envelope,
        request_body=request_body,
        response_body=response_body,
        # The door's own fields stand before the content.
        content_hash=content_hash(value[max(value.find(b',"content":'), 0) :]),
    )


def item_of(
    place: Place,
    key: bytes | None,
    value: bytes,
    record: Record,
    event: Event,
    *,
    envelope: str,
    content_hash: UUID,
    request_body: str | None = None,
    response_body: str | None = None,
) -> Decoded:
    """A record and the event that it became: priced if the client reported no cost, flagged if its day is far off."""
    price(event)
    day = start_day(event.started_at, from_us(record.received_at_us))
    if day == FAR_DAY:
        event.flags = [*event.flags, CLOCK_FAR_OFF]
    return Decoded(
        place=place,
        key=key,
        value=value,
        event=event,
        day=day,
        envelope=envelope,
        request_body=request_body,
        response_body=response_body,
        content_hash=content_hash,
    )


def decode_stored(copy: Decoded, envelope: str, request_body: str | None, response_body: str | None) -> Decoded:
    """The event of a stored record of which `copy` is another copy; the copy itself if that cannot be decoded."""
    try:
        record = msgspec.structs.replace(
            decode_record(envelope.encode()),
            request=NO_BODY if request_body is None else msgspec.Raw(request_body.encode()),
            response=NO_BODY if response_body is None else msgspec.Raw(response_body.encode()),
        )
        return _decode(copy.place, copy.key, encode_record(record))
    except InvalidEvent:
        return copy


def _text(body: msgspec.Raw) -> str | None:
    """The body's JSON text, or None when that side was not sent."""
    raw = memoryview(body)
    return str(raw, "utf-8") if raw.nbytes else None


def content_hash(sent: bytes) -> UUID:
    """Hash of what the client sent: it differs when the content differs."""
    return PostgresUUID(xxhash.xxh3_128_digest(sent))
