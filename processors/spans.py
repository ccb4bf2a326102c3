"""Reading the topic of spans: records become spans, and spans what is remembered of them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from infra.project_settings import InvalidSettings, ProjectSettings
from infra.projects import SettingsBook, UnknownSettings
from ingest.decode.otlp import decode_span, decode_span_record, settings_of, span_record_text
from ingest.event import InvalidEvent, Record, from_us
from processors.batch import Decoded, Place, Received, Slice, content_hash, dead_letter, item_of
from processors.errors import TROUBLE, StoreAway
from processors.traces import Link


class SpanReader:
    """Decodes spans under the settings that their project had when they were received."""

    def __init__(self, book: SettingsBook) -> None:
        self._book = book

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Load the settings that these records name.

        Raises:
            StoreAway: the database is in trouble, or holds settings that only newer code can read.
        """
        pairs = {pair for value in values if value is not None and (pair := settings_of(value)) is not None}
        try:
            await self._book.load(pairs)
        except (*TROUBLE, InvalidSettings) as fault:
            raise StoreAway(f"{type(fault).__name__}: {fault}") from fault

    def take(self, target: Slice, place: Place, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        """Decode one record into `target`. A record that cannot be decoded becomes a dead letter; nothing is raised."""
        target.next_offset = place.offset + 1
        try:
            if value is None:
                raise InvalidEvent("The record has no value", code="no_value")
            received = self._receive(place, key, value, timestamp_ms)
        except InvalidEvent as fault:
            target.dead_letters.append(dead_letter(place, key, value, fault))
            return
        target.spans.append(received)
        if received.item is not None:
            target.events.append(received.item)

    def _receive(self, place: Place, key: bytes | None, value: bytes, timestamp_ms: int) -> Received:
        record = decode_span_record(value)
        settings = self._settings(record)
        span = decode_span(record, settings)
        # Of what the client sent, without what the door added to it.
        sent_hash = content_hash(msgspec.json.encode(record.headers) + bytes(record.content))
        log_time = from_us(timestamp_ms * 1000)
        item = None
        if span.event is not None:
            envelope = span_record_text(record)
            item = item_of(place, key, value, record, span.event, envelope=envelope, content_hash=sent_hash)
            item.log_time = log_time
        return Received(
            place=place,
            key=key,
            value=value,
            span=span,
            log_time=log_time,
            window=timedelta(seconds=settings.join_window_seconds),
            trace_as_session=settings.otlp_trace_as_session,
            content_hash=sent_hash,
            item=item,
        )

    def _settings(self, record: Record) -> ProjectSettings:
        try:
            return self._book.get(record.project_id, record.settings_version)
        except UnknownSettings as fault:
            raise InvalidEvent(str(fault), code="unknown_settings") from fault


def make_link(received: Received, log_time: datetime, item: Decoded | None) -> Link:
    """What to remember of a span. `item` is its event, unless that is another span's already."""
    span = received.span
    return Link(
        project_id=span.project_id,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        partition=received.place.partition,
        offset=received.place.offset,
        log_time=log_time,
        closes_at=log_time + received.window,
        started_at=span.started_at,
        ended_at=span.ended_at,
        content_hash=received.content_hash,
        day=None if item is None else item.day,
        event_id=None if item is None else item.event.event_id,
        session_id=span.session_id,
        session_name=span.session_name,
        user_id=span.user_id,
        explicit_path=span.explicit_path,
        segment=span.segment,
        reports_usage=item is not None and span.reports_usage,
        trace_as_session=received.trace_as_session,
        is_open=item is not None,
    )
