"""The native face: sessions with everything that is known of them, their paths, and how fresh the store is."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from processors.session import derive_status
from query.answers import answer
from query.cursors import read_place, write_place
from query.desk import Desk
from query.errors import InvalidQuestion, NotFound
from query.freshness import newest_event, partition_positions, store_clock
from query.instants import iso, iso_or_none, mean_ms, milliseconds, usd
from query.paths import Figures, PathNode, session_paths
from query.retention import requests_since, since_member
from query.sessions import Place, newest_sessions, one_session

if TYPE_CHECKING:
    import asyncpg

PAGE_DEFAULT, PAGE_MAX = 50, 200
STATUSES = ("active", "completed", "failed")
LIST_PARAMETERS = frozenset({"limit", "cursor", "name", "status"})
MICROSECOND = timedelta(microseconds=1)


def routes(desk: Desk) -> list[Route]:
    """The endpoints, answering from `desk`."""

    async def list_newest(request: Request) -> Response:
        credential = await desk.reader(request)
        page_max, after, name, status = list_parameters(dict(request.query_params))
        async with desk.sitting() as sitting:
            rows = await newest_sessions(
                sitting.snapshot,
                credential.project_id,
                name=name,
                status=status,
                idle_limit_seconds=credential.settings.idle_limit_seconds,
                after=after,
                # One more than is shown tells whether a next page exists.
                sessions_max=page_max + 1,
            )
        shown, idle_limit = rows[:page_max], timedelta(seconds=credential.settings.idle_limit_seconds)
        token = None
        if len(rows) > page_max:
            token = write_place(Place(shown[-1]["first_event_at"], shown[-1]["session_key"]))
        return answer([session_object(row, idle_limit) for row in shown], sitting.as_of, next=token)

    async def show_session(request: Request) -> Response:
        credential = await desk.reader(request)
        session_id = decoded_id(request.path_params["session_id"])
        async with desk.sitting() as sitting:
            row = await one_session(sitting.snapshot, credential.project_id, session_id)
            if row is None:
                raise NotFound("Session not found")
            since = await requests_since(sitting.snapshot, credential.project_id)
            nodes = await session_paths(sitting.snapshot, credential.project_id, row["session_key"])
        session = session_object(row, timedelta(seconds=credential.settings.idle_limit_seconds))
        session["paths"] = None if nodes is None else [node_object(node) for node in nodes]
        return answer(session, sitting.as_of, **since_member(since, row["first_event_at"]))

    async def show_freshness(request: Request) -> Response:
        credential = await desk.reader(request)
        async with desk.sitting() as sitting:
            positions = await partition_positions(sitting.snapshot)
            received_at = await newest_event(sitting.snapshot, credential.project_id)
            now = await store_clock(sitting.snapshot)
        data = {
            "as_of": iso_or_none(sitting.as_of),
            "age_seconds": age_seconds(sitting.as_of, now),
            "newest_event_received_at": iso_or_none(received_at),
            "newest_event_age_seconds": age_seconds(received_at, now),
            "partitions": [position_object(row) for row in positions],
        }
        return answer(data, sitting.as_of)

    return [
        Route("/v1/sessions", list_newest, methods=["GET"]),
        Route("/v1/sessions/{session_id}", show_session, methods=["GET"]),
        Route("/v1/freshness", show_freshness, methods=["GET"]),
    ]


def list_parameters(sent: dict[str, str]) -> tuple[int, Place | None, str | None, str | None]:
    """Page size, place, name and status of a list.

    Raises:
        InvalidQuestion: a parameter that is unknown or has no such value.
    """
    for name in sent:
        if name not in LIST_PARAMETERS:
            raise InvalidQuestion(f"Unknown parameter: {name}")
    limit = sent.get("limit", str(PAGE_DEFAULT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= PAGE_MAX):
        raise InvalidQuestion(f"Invalid limit: a whole number from 1 to {PAGE_MAX}")
    status = sent.get("status")
    if status is not None and status not in STATUSES:
        raise InvalidQuestion(f"Invalid status: one of {', '.join(STATUSES)}")
    if "\0" in sent.get("name", ""):
        raise InvalidQuestion("Invalid name: U+0000 is in no name")
    after = read_place(sent["cursor"]) if "cursor" in sent else None
    return int(limit), after, sent.get("name"), status


def decoded_id(encoded: str) -> str:
    """The id in a path, percent-decoded once, `%2F` included.

    Raises:
        NotFound: it decodes to something that no id can be.
    """
    try:
        session_id = unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeDecodeError as fault:
        raise NotFound("Session not found") from fault
    return session_id


def session_object(row: "asyncpg.Record", idle_limit: timedelta) -> dict[str, Any]:
    """A session with everything that its row says. Event times cover every event, request times only requests."""
    return {
        "session_id": row["session_id"],
        "name": row["name"],
        "status": derive_status(
            outcome=row["outcome"],
            last_received_at=row["last_received_at"],
            last_is_error=row["last_is_error"],
            idle_limit=idle_limit,
            now=row["now"],
        ),
        "outcome_reason": row["outcome_reason"],
        "first_event_at": iso(row["first_event_at"]),
        "last_event_end_at": iso(row["last_event_end_at"]),
        "last_received_at": iso(row["last_received_at"]),
        "first_request_at": iso_or_none(row["first_request_at"]),
        "last_request_at": iso_or_none(row["last_request_at"]),
        "last_request_end_at": iso_or_none(row["last_request_end_at"]),
        "duration_ms": milliseconds((row["last_event_end_at"] - row["first_event_at"]) // MICROSECOND),
        "event_count": row["event_count"],
        "request_count": row["request_count"],
        "error_count": row["error_count"],
        "total_latency_ms": milliseconds(row["latency_us_sum"]),
        "avg_latency_ms": mean_ms(row["latency_us_sum"], row["request_count"]),
        "avg_time_to_first_token_ms": mean_ms(row["time_to_first_token_us_sum"], row["time_to_first_token_count"]),
        **tokens_and_cost(row),
        "unpriced_count": row["unpriced_count"],
        "user_ids": sorted(row["user_ids"] or ()),
    }


def tokens_and_cost(sums: Any) -> dict[str, object]:
    """Token counts and cost, under the names that requests have them."""
    return {
        "prompt_tokens": sums["prompt_tokens"],
        "completion_tokens": sums["completion_tokens"],
        "reasoning_tokens": sums["reasoning_tokens"],
        "prompt_cache_read_tokens": sums["cache_read_tokens"],
        "prompt_cache_write_tokens": sums["cache_write_tokens"],
        "prompt_audio_tokens": sums["prompt_audio_tokens"],
        "completion_audio_tokens": sums["completion_audio_tokens"],
        "cost_usd": usd(sums["cost_nanousd"]),
    }


def node_object(node: PathNode) -> dict[str, object]:
    """One node of a session's tree."""
    return {
        "path": node.path,
        "name": node.name,
        "parent": node.parent,
        "depth": node.depth,
        "child_count": len(node.children),
        "own": figures_object(node.own),
        "subtree": figures_object(node.subtree),
    }


def figures_object(figures: Figures) -> dict[str, object]:
    """Figures of a path. Durations are those of requests; spans have their own."""
    sums, extremes = figures.sums, figures.extremes
    least, greatest = extremes["latency_us_min"], extremes["latency_us_max"]
    return {
        "count": sums["request_count"],
        "error_count": sums["error_count"],
        "total_duration_ms": milliseconds(sums["latency_us_sum"]),
        "avg_duration_ms": mean_ms(sums["latency_us_sum"], sums["request_count"]),
        "min_duration_ms": None if least is None else milliseconds(least),
        "max_duration_ms": None if greatest is None else milliseconds(greatest),
        "span_count": sums["span_count"],
        "span_duration_ms": milliseconds(sums["span_latency_us_sum"]),
        **tokens_and_cost(sums),
        "first_at": iso_or_none(extremes["first_at"]),
        "last_end_at": iso_or_none(extremes["last_end_at"]),
    }


def position_object(row: "asyncpg.Record") -> dict[str, object]:
    """How far one partition is."""
    return {
        "topic": row["topic"],
        "partition": row["partition"],
        "next_offset": row["next_offset"],
        "end_offset": row["end_offset"],
        # The end was looked up before the batch that moved the next offset past it.
        "lag": max(row["end_offset"] - row["next_offset"], 0),
        "as_of": iso_or_none(row["as_of"]),
        "age_seconds": age_seconds(row["as_of"], row["now"]),
        "observed_at": iso(row["observed_at"]),
        "observed_age_seconds": age_seconds(row["observed_at"], row["now"]),
    }


def age_seconds(moment: datetime | None, now: datetime) -> float | None:
    """How long ago, in seconds and never below 0 where clocks differ; None of None."""
    return None if moment is None else max((now - moment).total_seconds(), 0.0)
