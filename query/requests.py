"""Questions about requests."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from query.columns import LATENCY_MS
from query.conditions import Parameters
from query.errors import InvalidQuestion
from query.filters import Node, compile_for_requests
from query.statements import statement

if TYPE_CHECKING:
    import asyncpg

    from query.store import Snapshot

REQUESTS_MAX = 1_000
PAGE_BYTES_MAX = 64 * 1024 * 1024
"""Largest answer (read API section 4.2); a larger one would have to be built in memory."""

SORTS = {
    "random": "random()",
    "created_at": "r.started_at",
    "latency": LATENCY_MS,
    "time_to_first_token": "r.time_to_first_token_us",
    "total_tokens": "(r.prompt_tokens + r.completion_tokens + r.reasoning_tokens)",
    "completion_tokens": "r.completion_tokens",
    "prompt_tokens": "r.prompt_tokens",
    "user_id": "r.user_id",
    "body_model": "r.model",
    # Nothing that the log endpoints deliver was served from a cache, so all are equal.
    "is_cached": "false",
    "cost": "coalesce(r.cost_nanousd, 0)",
}
"""What a list of requests can be ordered by, in the order in which a question that names several is read."""


@dataclass(frozen=True)
class RequestsQuestion:
    """Which requests, in which order."""

    filter: Node
    sort: str = "created_at"
    """A key of SORTS."""
    descending: bool = True
    requests_max: int = 10
    skip: int = 0


async def list_requests(snapshot: "Snapshot", project_id: int, question: RequestsQuestion) -> "list[asyncpg.Record]":
    """The matching requests with their bodies; ties by start, newest first, then by id.

    Raises:
        InvalidQuestion: the page would exceed PAGE_BYTES_MAX.
    """
    parameters = Parameters(project_id, question.requests_max, question.skip, PAGE_BYTES_MAX)
    matching = compile_for_requests(question.filter, parameters)
    direction = "DESC" if question.descending else "ASC"
    order = f"{SORTS[question.sort]} {direction} NULLS LAST"
    if question.sort == "created_at":
        # Never null; said with NULLS LAST, a descending order could not be read off the index.
        order = f"{SORTS[question.sort]} {direction}"
    rows = await snapshot.fetch(statement("list_requests", matching=matching, order=order), *parameters.values)
    if rows and rows[0]["page_bytes"] > PAGE_BYTES_MAX:
        raise InvalidQuestion("Query returned too many rows. Add more filters.")
    return rows
