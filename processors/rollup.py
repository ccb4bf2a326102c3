"""A batch of events -> ordered folds and rows. Pure: the same events in any order give the same result."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import orjson

from ingest.event import Event
from processors.batch import Decoded, Place
from processors.catalogue import OWN_PREFIX, Entry, Use, note_uses
from processors.histogram import pack
from processors.session import PathFold, SessionFold, bounded_set, normalise_path, property_member, text_key

REQUEST_COLUMNS = (
    *("project_id", "day", "event_id", "kind", "session_key", "path_key", "session_id", "session_name", "session_path"),
    *("started_at", "ended_at", "time_to_first_token_us", "status", "is_error", "error_type", "error_message"),
    *("provider", "model", "request_model", "response_model", "model_override", "target_url"),
    *("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("prompt_audio_tokens", "completion_audio_tokens", "cost_nanousd", "price_version", "user_id", "properties"),
    *("trace_id", "span_id", "parent_span_id", "source", "received_at", "flags"),
    *("decoded_request_body", "decoded_response_body"),
)
RECORD_COLUMNS = (
    *("project_id", "day", "event_id", "content_hash", "envelope", "request_body", "response_body"),
    *("topic", "partition", "offset", "log_time"),
)
COUNTED_KINDS = ("llm", "tool", "vector_db", "data", "span")
"""Kinds whose events a session's row counts one by one."""

cached_text_key = lru_cache(maxsize=65_536)(text_key)
"""Sessions and paths repeat within and across batches; the bound keeps a worker's memory flat."""
cached_path = lru_cache(maxsize=16_384)(normalise_path)


def request_row(item: Decoded) -> tuple[Any, ...]:
    """The row of `requests`, in the order of `REQUEST_COLUMNS`."""
    event = item.event
    session_key = path_key = None
    if event.session_id:
        session_key = cached_text_key(event.session_id)
        if not item.is_path_provisional:
            path_key = cached_text_key(cached_path(event.path))
    return (
        *(event.project_id, item.day, event.event_id, event.kind, session_key, path_key),
        *(event.session_id, event.session_name, event.path, event.started_at, event.ended_at),
        *(event.time_to_first_token_us, event.status, event.is_error, event.error_type, event.error_message),
        *(event.provider, event.model, event.request_model, event.response_model, event.model_override),
        *(event.target_url, event.prompt_tokens, event.completion_tokens, event.cache_read_tokens),
        *(event.cache_write_tokens, event.reasoning_tokens, event.prompt_audio_tokens, event.completion_audio_tokens),
        *(event.cost_nanousd, event.price_version, event.user_id),
        orjson.dumps(event.properties).decode() if event.properties else "{}",
        *(event.trace_id, event.span_id, event.parent_span_id, event.source, event.received_at, event.flags),
        *(event.decoded_request_body, event.decoded_response_body),
    )


def record_row(item: Decoded) -> tuple[Any, ...]:
    """The row of `records`, in the order of `RECORD_COLUMNS`."""
    event = item.event
    return (
        *(event.project_id, item.day, event.event_id, item.content_hash),
        *(item.envelope, item.request_body, item.response_body),
        *(item.place.topic, item.place.partition, item.place.offset, item.log_time),
    )


class Countable(Protocol):
    """An event, where its record lies, and whether path roll-ups have to wait for its path and name."""

    place: Place
    event: Event
    is_path_provisional: bool


Columns = list[list[Any]]
HourKey = tuple[int, datetime, UUID, UUID, str, int]
"""Project, hour, hash of the session name, hash of the path, topic, partition."""


class Folds:
    """What events add to each roll-up. Those with a session are in all of them, the others only in the catalogue."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[int, UUID], SessionFold] = {}
        self.paths: dict[tuple[int, UUID, UUID], PathFold] = {}
        self.hours: dict[HourKey, PathFold] = {}
        self.names: dict[UUID, str] = {}
        self.uses: dict[Entry, Use] = {}

    def add(self, item: Countable) -> None:
        """Fold one event in."""
        event = item.event
        note_uses(self.uses, event, item.place)
        if not event.session_id:
            return
        session_key = cached_text_key(event.session_id)
        session = self.sessions.get((event.project_id, session_key))
        if session is None:
            session = self.sessions[event.project_id, session_key] = SessionFold()
        session.add(event)
        if event.kind == "session_end" or item.is_path_provisional:
            return
        path = cached_path(event.path)
        path_key = cached_text_key(path)
        node = self.paths.get((event.project_id, session_key, path_key))
        if node is None:
            node = self.paths[event.project_id, session_key, path_key] = PathFold(path=path)
        node.add(event)
        hour_key = self._hour_key(item, path_key)
        hour = self.hours.get(hour_key)
        if hour is None:
            hour = self.hours[hour_key] = PathFold(path=path)
        hour.add(event)

    def take_back(self, item: Countable) -> None:
        """Take the sums of an event off that was folded before and is added anew, in these folds, as it is now."""
        event = item.event
        note_uses(self.uses, event, item.place, -1)
        if not event.session_id:
            return
        session_key = cached_text_key(event.session_id)
        self.sessions[event.project_id, session_key].take_back(event)
        if not item.is_path_provisional:
            path_key = cached_text_key(cached_path(event.path))
            self.paths[event.project_id, session_key, path_key].take_back(event)
            self.hours[self._hour_key(item, path_key)].take_back(event)

    def _hour_key(self, item: Countable, path_key: UUID) -> HourKey:
        event = item.event
        name = event.session_name or ""
        name_key = cached_text_key(name)
        self.names[name_key] = name
        hour = _hour_of(event.started_at.toordinal(), event.started_at.hour)
        return event.project_id, hour, name_key, path_key, item.place.topic, item.place.partition


@lru_cache(maxsize=4_096)
def _hour_of(ordinal: int, hour: int) -> datetime:
    """The hour of a UTC day. Remembered: setting parts of a time to zero costs as much as half a fold."""
    return datetime.combine(date.fromordinal(ordinal), time(hour), UTC)


def fold(items: Iterable[Countable], counted: Iterable[Countable] = ()) -> dict[str, Columns]:
    """Fold events into the parameters of statements, by name: column arrays, empty when there is nothing to add.

    The rows of each are sorted by key, so that two workers that touch the same rows lock them in the same order.
    `counted` are some of the items as they were when they were folded before: what they added is taken off again, so
    that an event which joins a session, a path or a user late is still counted once.
    """
    folds = Folds()
    for item in items:
        folds.add(item)
    for item in counted:
        folds.take_back(item)
    hours = folds.hours
    return {
        "fold_sessions": _columns([_session_row(key, folds.sessions[key]) for key in sorted(folds.sessions)]),
        "fold_session_paths": _columns([_path_row(key, folds.paths[key]) for key in sorted(folds.paths)]),
        "fold_path_hours": _columns([_hour_row(key, folds.names[key[2]], hours[key]) for key in sorted(hours)]),
        "fold_catalogue": _columns(sorted(_use_row(entry, use) for entry, use in folds.uses.items() if use.count)),
    }


def _columns(rows: list[tuple[Any, ...]]) -> Columns:
    return [list(column) for column in zip(*rows, strict=True)]


def _session_row(key: tuple[int, UUID], fold: SessionFold) -> tuple[Any, ...]:
    properties = {property_member(*pair) for pair in fold.properties if not pair[0].startswith(OWN_PREFIX)}
    sets: list[Any] = []
    for members in (fold.user_ids, fold.models, fold.providers, properties):
        listed, more = bounded_set(members)
        sets += (_text_array(listed), more)
    return (
        *(*key, fold.session_id, fold.name, fold.name_started_at, fold.name_event_id, fold.event_count),
        *(fold.first_event_at, fold.last_event_end_at, fold.last_received_at),
        *(fold.first_request_at, fold.last_request_at, fold.last_request_end_at),
        *_amounts(fold),
        *(fold.time_to_first_token_us_sum, fold.time_to_first_token_count, fold.unpriced_count),
        *(fold.kind_counts.get(kind, 0) for kind in COUNTED_KINDS),
        *sets,
        *(fold.last_end_event_id, fold.last_is_error),
        *(fold.last_error_at, fold.last_error_event_id, fold.last_error_type, fold.last_error_message),
        *(fold.last_error_path, fold.ended_at, fold.ended_event_id, fold.outcome, fold.outcome_reason),
    )


def _path_row(key: tuple[int, UUID, UUID], fold: PathFold) -> tuple[Any, ...]:
    return (
        *(*key, fold.path, *_amounts(fold), fold.latency_us_min, fold.latency_us_max),
        *(fold.span_count, fold.span_latency_us_sum, fold.first_at, fold.last_end_at),
    )


def _hour_row(key: HourKey, name: str, fold: PathFold) -> tuple[Any, ...]:
    return (
        *(*key, name, fold.path, *_amounts(fold), fold.latency_us_min, fold.latency_us_max),
        *(fold.span_count, fold.span_latency_us_sum),
    )


def _use_row(entry: Entry, use: Use) -> tuple[Any, ...]:
    *place, name, value = entry
    keys = (cached_text_key(name), cached_text_key(value))
    return *place, *keys, name, value, use.count, use.first_used_at, use.last_used_at


def _amounts(fold: SessionFold | PathFold) -> tuple[Any, ...]:
    return (
        *(fold.request_count, fold.error_count, fold.latency_us_sum, _integer_array(pack(fold.latency_histogram))),
        *(fold.prompt_tokens, fold.completion_tokens, fold.cache_read_tokens, fold.cache_write_tokens),
        *(fold.reasoning_tokens, fold.prompt_audio_tokens, fold.completion_audio_tokens, fold.cost_nanousd),
    )


def _integer_array(members: list[int]) -> str:
    """An array in Postgres' own notation: arrays of different lengths can only be passed as texts."""
    return "{" + ",".join(map(str, members)) + "}"


def _text_array(members: list[str]) -> str:
    quoted = (member.replace("\\", "\\\\").replace('"', '\\"') for member in members)
    return "{" + ",".join(f'"{member}"' for member in quoted) + "}"
