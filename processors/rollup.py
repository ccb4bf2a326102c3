"""A batch of events -> ordered folds and rows. Pure: the same events in any order give the same result."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import orjson

from ingest.event import Event
from processors.batch import Decoded
from processors.session import USERS_MAX, PathFold, SessionFold, normalise_path, text_key

REQUEST_COLUMNS = (
    *("project_id", "day", "event_id", "kind", "session_key", "path_key", "session_id", "session_name", "session_path"),
    *("started_at", "ended_at", "time_to_first_token_us", "status", "is_error", "error_type", "error_message"),
    *("provider", "model", "request_model", "response_model", "model_override", "target_url"),
    *("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("prompt_audio_tokens", "completion_audio_tokens", "cost_nanousd", "user_id", "properties"),
    *("trace_id", "span_id", "parent_span_id", "source", "received_at", "flags"),
    *("decoded_request_body", "decoded_response_body"),
)
RECORD_COLUMNS = (
    *("project_id", "day", "event_id", "content_hash", "envelope", "request_body", "response_body"),
    *("topic", "partition", "offset", "log_time"),
)

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
        *(event.cost_nanousd, event.user_id, orjson.dumps(event.properties).decode() if event.properties else "{}"),
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
    """An event, and whether path roll-ups have to wait for its path."""

    event: Event
    is_path_provisional: bool


def fold(items: Iterable[Countable], counted: Iterable[Countable] = ()) -> tuple[list[list[Any]], list[list[Any]]]:
    """Fold events into column arrays for `fold_sessions.sql` and `fold_session_paths.sql`.

    Events without a session are in neither. Both are sorted by key, so that two workers that touch the same rows lock
    them in the same order. `counted` are some of the items as they were when they were folded before: what they added
    is taken off again, so that an event which joins a session, a path or a user late is still counted once.
    """
    sessions: dict[tuple[int, UUID], SessionFold] = {}
    paths: dict[tuple[int, UUID, UUID], PathFold] = {}
    for item in items:
        event = item.event
        if not event.session_id:
            continue
        session_key = cached_text_key(event.session_id)
        session = sessions.get((event.project_id, session_key))
        if session is None:
            session = sessions[event.project_id, session_key] = SessionFold(user_ids=set())
        session.add(event)
        if event.kind == "session_end" or item.is_path_provisional:
            continue
        path = cached_path(event.path)
        path_key = cached_text_key(path)
        node = paths.get((event.project_id, session_key, path_key))
        if node is None:
            node = paths[event.project_id, session_key, path_key] = PathFold(path=path)
        node.add(event)
    for item in counted:
        event = item.event
        if not event.session_id:
            continue
        session_key = cached_text_key(event.session_id)
        sessions[event.project_id, session_key].take_back(event)
        if not item.is_path_provisional:
            paths[event.project_id, session_key, cached_text_key(cached_path(event.path))].take_back(event)
    session_rows = [_session_row(key, sessions[key]) for key in sorted(sessions)]
    path_rows = [_path_row(key, paths[key]) for key in sorted(paths)]
    return _columns(session_rows), _columns(path_rows)


def _columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _session_row(key: tuple[int, UUID], fold: SessionFold) -> tuple[Any, ...]:
    users = sorted(fold.user_ids)
    return (
        *(*key, fold.session_id, fold.name, fold.name_started_at, fold.name_event_id, fold.event_count),
        *(fold.first_event_at, fold.last_event_end_at, fold.last_received_at),
        *(fold.first_request_at, fold.last_request_at, fold.last_request_end_at),
        *_amounts(fold),
        *(fold.time_to_first_token_us_sum, fold.time_to_first_token_count, fold.unpriced_count),
        *(orjson.dumps(users[:USERS_MAX]).decode(), len(users) > USERS_MAX),
        *(fold.last_end_event_id, fold.last_is_error),
        *(fold.ended_at, fold.ended_event_id, fold.outcome, fold.outcome_reason),
    )


def _path_row(key: tuple[int, UUID, UUID], fold: PathFold) -> tuple[Any, ...]:
    return (
        *(*key, fold.path, *_amounts(fold), fold.latency_us_min, fold.latency_us_max),
        *(fold.span_count, fold.span_latency_us_sum, fold.first_at, fold.last_end_at),
    )


def _amounts(fold: SessionFold | PathFold) -> tuple[int, ...]:
    return (
        *(fold.request_count, fold.error_count, fold.latency_us_sum, fold.prompt_tokens, fold.completion_tokens),
        *(fold.cache_read_tokens, fold.cache_write_tokens, fold.reasoning_tokens),
        *(fold.prompt_audio_tokens, fold.completion_audio_tokens, fold.cost_nanousd),
    )
