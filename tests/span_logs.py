"""Logs of spans for tests: random traces in a random order, with copies, at random broker times."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec
import xxhash
from asyncpg.pgproto.pgproto import UUID as PostgresUUID

from ingest.decode.otlp import Span
from ingest.event import Event
from processors.batch import Decoded, Place, Received, Slice

TOPIC = "test.spans"
ORIGIN = datetime(2026, 1, 7, 12, tzinfo=UTC)
SPANS_MAX = 9
WINDOWS_SECONDS = (10, 100)
GAPS_SECONDS = (0, 0, 0, 1, 5, 60, 24 * 3600)
"""Between two records: within every window, beyond one, beyond both, and so long that spans are forgotten."""


@dataclass(frozen=True)
class Shape:
    """What is drawn of one span; the rest follows from its number."""

    parent: int | None
    """Number of the parent, which may be the span itself or one that never comes; None: a root."""
    kind: str | None
    session: str | None = None
    name: str | None = None
    user: str | None = None
    path: str | None = None
    has_usage: bool = False
    window_seconds: int = 100
    trace_as_session: bool = False


def received(number: int, shape: Shape, *, trace: int = 1, log_time: datetime = ORIGIN, offset: int = 0) -> Received:
    """A span's record as it would be read."""
    trace_id, span_id = f"{trace:032x}", f"{number + 1:016x}"
    event_id = PostgresUUID(uuid5(NAMESPACE_OID, f"{trace_id}-{span_id}").bytes)
    started_at = ORIGIN + timedelta(seconds=trace, milliseconds=number)
    reports_usage = shape.kind == "llm" and shape.has_usage
    span = Span(
        project_id=1,
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=None if shape.parent is None else f"{shape.parent + 1:016x}",
        started_at=started_at,
        ended_at=started_at + timedelta(milliseconds=50 + number),
        received_at=started_at + timedelta(seconds=1),
        event_id=event_id,
        session_id=shape.session,
        session_name=shape.name,
        user_id=shape.user,
        explicit_path=shape.path,
        segment=None if shape.kind is None else f"s{number}",
        reports_usage=reports_usage,
    )
    value = msgspec.json.encode([trace, number, shape.kind])
    place = Place(TOPIC, 0, offset)
    item = None
    if shape.kind is not None:
        span.event = _event(span, shape, number)
        item = _decoded(place, value, span.event)
    return Received(
        place=place,
        key=b"key",
        value=value,
        span=span,
        log_time=log_time,
        window=timedelta(seconds=shape.window_seconds),
        trace_as_session=shape.trace_as_session,
        content_hash=_hash(value),
        item=item,
    )


def _event(span: Span, shape: Shape, number: int) -> Event:
    # A span's as where the project counts it.
    has_usage = span.reports_usage or (shape.kind == "span" and shape.has_usage)
    usage: dict[str, Any] = (
        {"prompt_tokens": 10 + number, "completion_tokens": 2, "cost_nanousd": 1000} if has_usage else {}
    )
    return Event(
        project_id=1,
        event_id=span.event_id,
        kind=shape.kind or "",
        source="otlp",
        started_at=span.started_at,
        ended_at=span.ended_at,
        received_at=span.received_at,
        session_id=span.session_id,
        session_name=span.session_name,
        user_id=span.user_id or "",
        path=span.explicit_path or f"/provisional/{span.segment}",
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        decoded_request_body='{"model": "m"}',
        **usage,
    )


def _decoded(place: Place, value: bytes, event: Event) -> Decoded:
    return Decoded(place, b"key", value, event, event.started_at.date(), "{}", None, None, _hash(value))


def _hash(value: bytes) -> UUID:
    return PostgresUUID(xxhash.xxh3_128_digest(value))


def random_shape(rng: Random, number: int, count: int) -> Shape:
    """One span of a trace of `count`: mostly below an earlier one, sometimes a root, an orphan, or part of a circle."""
    parents = [*range(number)] * 3 + [None, count + 1, rng.randrange(count)]
    return Shape(
        parent=None if number == 0 and rng.random() < 0.7 else rng.choice(parents),
        kind=rng.choice(["llm", "llm", "tool", "span", None]),
        session=rng.choice([None, None, None, "s-1", "s-2"]),
        name=rng.choice([None, None, "Trip"]),
        user=rng.choice([None, None, "u-1", "u-2"]),
        path=rng.choice([None, None, None, None, "/explicit/path"]),
        has_usage=rng.random() < 0.5,
        window_seconds=rng.choice(WINDOWS_SECONDS),
        trace_as_session=rng.random() < 0.3,
    )


def random_log(rng: Random, *, traces: int = 1) -> list[Received]:
    """Traces' records in the order of the log, each span at least once; broker times may step back a little."""
    drawn: dict[tuple[int, int], Shape] = {}
    for trace in range(1, traces + 1):
        count = rng.randrange(1, SPANS_MAX + 1)
        drawn |= {(trace, number): random_shape(rng, number, count) for number in range(count)}
    order = list(drawn)
    rng.shuffle(order)
    now, log, appended = ORIGIN, list[Received](), dict[tuple[int, int], datetime]()
    for trace, number in order:
        if traces == 1 or rng.random() < 10 / len(order):
            now += timedelta(seconds=rng.choice(GAPS_SECONDS))
        stepped = now - timedelta(seconds=rng.choice([0, 0, 0, 3]))
        log.append(received(number, drawn[trace, number], trace=trace, log_time=stepped, offset=len(log)))
        appended[trace, number] = now
        again = rng.choice([None, None, *appended])
        if again is not None and now <= appended[again] + timedelta(seconds=drawn[again].window_seconds):
            log.append(received(again[1], drawn[again], trace=again[0], log_time=now, offset=len(log)))
    return log


def in_batches(rng: Random, log: list[Received]) -> list[list[Received]]:
    """The log cut into batches."""
    edges = sorted({0, len(log), *rng.sample(range(len(log)), rng.randrange(len(log)))})
    return [log[start:end] for start, end in pairwise(edges)]


def span_slice(batch: list[Received], *, expected_offset: int | None = None) -> Slice:
    """A partition's share of a batch; the records lie at consecutive offsets."""
    return Slice(
        topic=TOPIC,
        partition=0,
        expected_offset=batch[0].place.offset if expected_offset is None else expected_offset,
        epoch=1,
        next_offset=batch[-1].place.offset + 1,
        end_offset=batch[-1].place.offset + 1,
        as_of=max(one.log_time for one in batch),
        events=[one.item for one in batch if one.item is not None],
        spans=batch,
    )
