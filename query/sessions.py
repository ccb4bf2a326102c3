"""Questions about sessions. Every face (Helicone's, native) asks through these functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from processors.session import text_key
from query.conditions import Parameters
from query.filters import Node, compile_for_sessions
from query.instants import Window
from query.statements import statement

if TYPE_CHECKING:
    import asyncpg

    from query.store import Snapshot

SESSIONS_MAX = 1_000
"""Most sessions of one answer."""

SORTS = {
    "created_at": "f.first_request_at",
    "latest_request_created_at": "f.last_request_at",
    "total_requests": "f.request_count",
    "total_cost": "f.cost_nanousd",
    "prompt_tokens": "f.prompt_tokens",
    "completion_tokens": "f.completion_tokens",
    "total_tokens": "(f.prompt_tokens + f.completion_tokens)",
    "avg_latency": "(f.latency_us_sum::numeric / f.request_count)",
    "duration_ms": "(f.last_request_end_at - f.first_request_at)",
    "error_count": "f.error_count",
    "reasoning_tokens": "f.reasoning_tokens",
    "prompt_cache_read_tokens": "f.cache_read_tokens",
    "prompt_cache_write_tokens": "f.cache_write_tokens",
}
"""What a list of sessions can be ordered by: the answer's field, and the figure behind it."""

WHOLE = "(SELECT {figure} FROM sessions w WHERE w.project_id = $1 AND w.session_key = f.session_key)"
"""A figure of the whole session, where the list holds those of the matching requests."""


@dataclass(frozen=True)
class SessionsQuestion:
    """Which sessions, in which order, with which totals."""

    window: Window
    filter: Node
    search: str = ""
    """Part of the id or name, any case; `""` for any."""
    name: str = ""
    """Exact name; `""` for any."""
    sort: str = "created_at"
    """A key of SORTS."""
    descending: bool = True
    sessions_max: int = 50
    skip: int = 0
    whole: bool = False
    """Totals of the whole sessions instead of the matching requests; the same sessions are listed."""


async def list_sessions(
    snapshot: "Snapshot", project_id: int, question: SessionsQuestion, *, since: datetime | None = None
) -> "list[asyncpg.Record]":
    """The sessions that have matching requests, with the totals of those; ties are broken by session id.

    `since`: see `retention.requests_since`. A session that began before it and straddles an edge of a window that does
    too has the totals of all its requests, because they cannot be counted again.

    Answered by the roll-ups unless the filter asks something of single requests.
    """
    window = question.window
    own = (project_id, window.start, window.end, window.first_day, window.last_day, question.search, question.name)
    parameters = Parameters(*own, question.sessions_max, question.skip)
    split = compile_for_sessions(question.filter, parameters)
    # The totals that are shown decide the order, so that a page looks sorted.
    figure = SORTS[question.sort]
    if question.whole:
        figure = WHOLE.format(figure=figure.replace("f.", "w."))
    pieces = {"listed": split.listed, "order": f"{figure} {'DESC' if question.descending else 'ASC'}"}
    if split.asks_requests:
        leaves = ", ".join(f"coalesce(bool_or({leaf}), false)" for leaf in split.request_leaves)
        text = statement("list_sessions_from_requests", matching=split.matching, request_leaves=leaves, **pieces)
    else:
        lost = "false"
        if since is not None and (window.start is None or window.start < since):
            lost = f"(s.first_request_at < {parameters.add(since)}::timestamptz)"
        text = statement("list_sessions_from_rollups", has_lost_requests=lost, **pieces)
    return await snapshot.fetch(text, *parameters.values)


async def total_sessions(
    snapshot: "Snapshot", project_id: int, session_keys: Sequence[UUID]
) -> "dict[UUID, asyncpg.Record]":
    """The totals of whole sessions, by key."""
    rows = await snapshot.fetch(statement("total_sessions"), project_id, list(session_keys))
    return {row["session_key"]: row for row in rows}


@dataclass(frozen=True)
class Place:
    """Where a page of the newest sessions ends: the next one begins after it."""

    first_event_at: datetime
    session_key: UUID


async def newest_sessions(
    snapshot: "Snapshot",
    project_id: int,
    *,
    name: str | None,
    status: str | None,
    idle_limit_seconds: int,
    after: Place | None,
    sessions_max: int,
) -> "list[asyncpg.Record]":
    """Sessions by first event, newest first, with or without requests."""
    at, key = (after.first_event_at, after.session_key) if after else (None, None)
    return await snapshot.fetch(
        statement("newest_sessions"), project_id, name, status, idle_limit_seconds, at, key, sessions_max
    )


async def one_session(snapshot: "Snapshot", project_id: int, session_id: str) -> "asyncpg.Record | None":
    """The session with this id, or None."""
    return await snapshot.fetchrow(statement("one_session"), project_id, text_key(session_id))
