"""A batch of events -> ordered folds and rows. Pure: the same events in any order give the same result."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Protocol

import orjson

from ingest.event import Event
from processors.batch import Decoded, Place
from processors.catalogue import LISTED_VALUES_MAX, OWN_PREFIX, Entry, Naming, Use, entries_of, note_use
from processors.histogram import pack
from processors.session import (
    Amounts,
    PathFold,
    SessionFold,
    bounded_set,
    measure,
    normalise_path,
    property_member,
    text_key,
)

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
cached_member = lru_cache(maxsize=256)(property_member)
"""Most sessions of a project have the same few. A long one has 17 KiB, so not many are kept."""


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


Columns = list[Any]
"""Parameters of a statement: parallel arrays, and the bound of the catalogue."""
SessionKey = tuple[int, str]
"""Project, session id."""
PathKey = tuple[int, str, str]
"""Project, session id, normalised path."""
HourKey = tuple[int, int, int, str, str, str, int]
"""Project, UTC day (its ordinal), hour, session name, normalised path, topic, partition."""


class Folds:
    """What events add to each roll-up. Those with a session are in all of them, the others only in the catalogue."""

    def __init__(self) -> None:
        self.sessions: dict[SessionKey, SessionFold] = {}
        self.paths: dict[PathKey, PathFold] = {}
        self.hours: dict[HourKey, PathFold] = {}
        self.namings: dict[Naming, Use] = {}

    def add(self, item: Countable) -> None:
        """Fold one event in."""
        event = item.event
        facts = measure(event)
        note_use(self.namings, event, item.place, facts)
        session_id = event.session_id
        if not session_id:
            return
        session_key = (event.project_id, session_id)
        session = self.sessions.get(session_key)
        if session is None:
            session = self.sessions[session_key] = SessionFold()
        session.add(event, facts)
        if event.kind == "session_end" or item.is_path_provisional:
            return
        path = cached_path(event.path)
        path_key = (event.project_id, session_id, path)
        node = self.paths.get(path_key)
        if node is None:
            node = self.paths[path_key] = PathFold()
        node.add(event, facts)
        hour_key = _hour_key(event, path, item.place)
        hour = self.hours.get(hour_key)
        if hour is None:
            hour = self.hours[hour_key] = PathFold()
        hour.add(event, facts)

    def take_back(self, item: Countable) -> None:
        """Take the sums of an event off that was folded before and is added anew, in these folds, as it is now."""
        event = item.event
        facts = measure(event)
        note_use(self.namings, event, item.place, facts, -1)
        if not event.session_id:
            return
        self.sessions[event.project_id, event.session_id].take_back(event, facts)
        if not item.is_path_provisional:
            path = cached_path(event.path)
            self.paths[event.project_id, event.session_id, path].take_back(event, facts)
            self.hours[_hour_key(event, path, item.place)].take_back(event, facts)


def _hour_key(event: Event, path: str, place: Place) -> HourKey:
    at = event.started_at
    return event.project_id, at.toordinal(), at.hour, event.session_name or "", path, place.topic, place.partition


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
    return {
        "fold_sessions": _columns([_session_row(*pair) for pair in folds.sessions.items()]),
        "fold_session_paths": _columns([_path_row(*pair) for pair in folds.paths.items()]),
        "fold_path_hours": _columns([_hour_row(*pair) for pair in folds.hours.items()]),
        "fold_catalogue": _use_columns(entries_of(folds.namings)),
    }


def _columns(rows: list[tuple[Any, ...]]) -> Columns:
    """Rows begin with their key, so they are sorted by it and by nothing else."""
    return [list(column) for column in zip(*sorted(rows), strict=True)]


def _use_columns(entries: dict[Entry, Use]) -> Columns:
    columns = _columns([_use_row(*pair) for pair in entries.items() if pair[1].count])
    return [*columns, LISTED_VALUES_MAX, cached_text_key("")] if columns else []


def _session_row(key: SessionKey, fold: SessionFold) -> tuple[Any, ...]:
    kinds = fold.kind_counts
    return (
        *(key[0], cached_text_key(key[1]), fold.session_id, fold.name, fold.name_started_at, fold.name_event_id),
        *(fold.event_count, fold.first_event_at, fold.last_event_end_at, fold.last_received_at),
        *(fold.first_request_at, fold.last_request_at, fold.last_request_end_at),
        *_amounts(fold.amounts),
        *(fold.time_to_first_token_us_sum, fold.time_to_first_token_count, fold.unpriced_count),
        *[kinds.get(kind, 0) for kind in COUNTED_KINDS],
        *(*_set(fold.user_ids), *_set(fold.models), *_set(fold.providers), *_set(_property_members(fold))),
        *(fold.last_end_event_id, fold.last_is_error),
        *(fold.last_error_at, fold.last_error_event_id, fold.last_error_type, fold.last_error_message),
        *(fold.last_error_path, fold.ended_at, fold.ended_event_id, fold.outcome, fold.outcome_reason),
    )


def _property_members(fold: SessionFold) -> set[str]:
    pairs = {pair for properties in fold.properties for pair in properties}
    return {cached_member(*pair) for pair in pairs if not pair[0].startswith(OWN_PREFIX)}


def _set(members: set[str]) -> tuple[str, bool]:
    listed, more = bounded_set(members)
    return _text_array(listed), more


def _path_row(key: PathKey, fold: PathFold) -> tuple[Any, ...]:
    project_id, session_id, path = key
    keys = (project_id, cached_text_key(session_id), cached_text_key(path), path)
    return keys + _path_amounts(fold) + (fold.first_at, fold.last_end_at)


def _hour_row(key: HourKey, fold: PathFold) -> tuple[Any, ...]:
    project_id, day, hour, name, path, topic, partition = key
    at = datetime.combine(date.fromordinal(day), time(hour), UTC)
    keys = (project_id, at, cached_text_key(name), cached_text_key(path), topic, partition, name, path)
    return keys + _path_amounts(fold)


def _path_amounts(fold: PathFold) -> tuple[Any, ...]:
    durations = (fold.latency_us_min, fold.latency_us_max, fold.span_count, fold.span_latency_us_sum)
    return _amounts(fold.amounts) + durations


def _use_row(entry: Entry, use: Use) -> tuple[Any, ...]:
    *place, name, value = entry
    keys = (cached_text_key(name), cached_text_key(value))
    return *place, *keys, name, value, use.count, use.first_used_at, use.last_used_at


def _amounts(amounts: Amounts) -> tuple[Any, ...]:
    return (
        amounts.request_count,
        amounts.error_count,
        amounts.latency_us_sum,
        _integer_array(pack(amounts.latency_histogram)),
        amounts.prompt_tokens,
        amounts.completion_tokens,
        amounts.cache_read_tokens,
        amounts.cache_write_tokens,
        amounts.reasoning_tokens,
        amounts.prompt_audio_tokens,
        amounts.completion_audio_tokens,
        amounts.cost_nanousd,
    )


def _integer_array(members: list[int]) -> str:
    """An array in Postgres' own notation: arrays of different lengths can only be passed as texts."""
    return "{" + ",".join([str(member) for member in members]) + "}"


def _text_array(members: list[str]) -> str:
    if not members:
        return "{}"
    quoted = '","'.join(members)
    if "\\" in quoted or quoted.count('"') > 2 * (len(members) - 1):
        quoted = '","'.join([member.replace("\\", "\\\\").replace('"', '\\"') for member in members])
    return f'{{"{quoted}"}}'
