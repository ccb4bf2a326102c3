"""The Helicone-compatible face: the same questions, in the shapes that Helicone's clients know (read API 3 and 4)."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from processors.session import derive_status
from query.answers import answer
from query.bodies import RequestQueryBody, SessionQueryBody, read_body
from query.desk import Desk, body_of
from query.errors import InvalidQuestion
from query.instants import iso, mean_ms, milliseconds, usd
from query.questions import requests_question, sessions_question
from query.requests import PAGE_BYTES_MAX, list_requests
from query.retention import requests_since, since_member
from query.sessions import list_sessions, total_sessions

if TYPE_CHECKING:
    import asyncpg

NOT_FROM_CACHE = "00000000-0000-0000-0000-000000000000"
MICROSECOND = timedelta(microseconds=1)

CONSTANTS: dict[str, Any] = {
    "prompt_version": None,
    "helicone_user": None,
    "llmSchema": None,
    "country_code": None,
    "asset_ids": [],
    "asset_urls": {},
    "assets": [],
    "request_referrer": "",
    "ai_gateway_body_mapping": "",
    "storage_location": "postgres",
    "cache_reference_id": NOT_FROM_CACHE,
    "scores": {},
    "feedback_rating": None,
    "feedback_created_at": None,
    "feedback_id": None,
}
"""Members of a request object that are the same for every request (read API section 4.2)."""


def routes(desk: Desk) -> list[Route]:
    """The endpoints, answering from `desk`."""

    async def query_sessions(request: Request) -> Response:
        credential = await desk.reader(request)
        question = sessions_question(read_body(SessionQueryBody, await body_of(request)))
        async with desk.sitting() as sitting:
            since = await requests_since(sitting.snapshot, credential.project_id)
            rows = await list_sessions(sitting.snapshot, credential.project_id, question, since=since)
            totals = {row["session_key"]: row for row in rows}
            if question.whole:
                totals = await total_sessions(sitting.snapshot, credential.project_id, list(totals))
        idle_limit = timedelta(seconds=credential.settings.idle_limit_seconds)
        data = [session_object(row, totals[row["session_key"]], idle_limit) for row in rows]
        return answer(data, sitting.as_of, **since_member(since, question.window.start))

    async def query_requests(request: Request) -> Response:
        credential = await desk.reader(request)
        question = requests_question(read_body(RequestQueryBody, await body_of(request)))
        async with desk.sitting() as sitting:
            since = await requests_since(sitting.snapshot, credential.project_id)
            rows = await list_requests(sitting.snapshot, credential.project_id, question)
        response = answer([request_object(row) for row in rows], sitting.as_of, **since_member(since))
        if len(response.body) > PAGE_BYTES_MAX:
            raise InvalidQuestion("Query returned too many rows. Add more filters.")
        return response

    return [
        Route("/v1/session/query", query_sessions, methods=["POST"]),
        Route("/v1/request/query", query_requests, methods=["POST"]),
        Route("/v1/request/query-clickhouse", query_requests, methods=["POST"]),
    ]


def session_object(row: "asyncpg.Record", figures: "asyncpg.Record", idle_limit: timedelta) -> dict[str, object]:
    """A session as Helicone shows it, and Pathline's extra members. `figures`: the totals to show."""
    return {
        "session_id": row["session_id"],
        "session_name": row["name"] or "",
        "created_at": iso(figures["first_request_at"]),
        "latest_request_created_at": iso(figures["last_request_at"]),
        "total_requests": figures["request_count"],
        "total_cost": usd(figures["cost_nanousd"]),
        "prompt_tokens": figures["prompt_tokens"],
        "completion_tokens": figures["completion_tokens"],
        "total_tokens": figures["prompt_tokens"] + figures["completion_tokens"],
        "avg_latency": mean_ms(figures["latency_us_sum"], figures["request_count"]),
        "user_ids": sorted(figures["user_ids"] or ()),
        "status": derive_status(
            outcome=row["outcome"],
            last_received_at=row["last_received_at"],
            last_is_error=row["last_is_error"],
            idle_limit=idle_limit,
            now=row["now"],
        ),
        "duration_ms": milliseconds((figures["last_request_end_at"] - figures["first_request_at"]) // MICROSECOND),
        "error_count": figures["error_count"],
        "reasoning_tokens": figures["reasoning_tokens"],
        "prompt_cache_read_tokens": figures["cache_read_tokens"],
        "prompt_cache_write_tokens": figures["cache_write_tokens"],
    }


def request_object(row: "asyncpg.Record") -> dict[str, object]:
    """A request as section 4.2 says, its bodies byte for byte as they were received or made."""
    properties = properties_of(row)
    cost = usd(row["cost_nanousd"] or 0)
    event_id = str(row["event_id"])
    first_token_us = row["time_to_first_token_us"]
    return {
        "request_id": event_id,
        "response_id": event_id,
        "request_created_at": iso(row["started_at"]),
        "response_created_at": iso(row["ended_at"]),
        "request_body": body_fragment(row["request_body"], row["source"]),
        "response_body": body_fragment(row["response_body"], row["source"]),
        "response_status": row["status"],
        "request_path": row["target_url"],
        "target_url": row["target_url"],
        "request_user_id": row["user_id"],
        "request_properties": properties,
        "properties": properties,
        "model": row["model"],
        "request_model": row["request_model"],
        "response_model": row["response_model"],
        "model_override": row["model_override"],
        "provider": row["provider"],
        "delay_ms": milliseconds((row["ended_at"] - row["started_at"]) // MICROSECOND),
        "time_to_first_token": None if first_token_us is None else milliseconds(first_token_us),
        "prompt_tokens": row["prompt_tokens"],
        "completion_tokens": row["completion_tokens"],
        "reasoning_tokens": row["reasoning_tokens"],
        "total_tokens": row["prompt_tokens"] + row["completion_tokens"] + row["reasoning_tokens"],
        "prompt_cache_read_tokens": row["cache_read_tokens"],
        "prompt_cache_write_tokens": row["cache_write_tokens"],
        "prompt_audio_tokens": row["prompt_audio_tokens"],
        "completion_audio_tokens": row["completion_audio_tokens"],
        "cost": cost,
        "costUSD": cost,
        "prompt_id": properties.get("Helicone-Prompt-Id"),
        "cache_enabled": "Helicone-Cache-Enabled" in properties,
        "updated_at": iso(row["received_at"]),
        **CONSTANTS,
    }


def properties_of(row: "asyncpg.Record") -> dict[str, str]:
    """All properties of a request, with the session's three, which have columns of their own."""
    properties: dict[str, str] = orjson.loads(row["properties"])
    for name, column in (
        ("Helicone-Session-Id", "session_id"),
        ("Helicone-Session-Name", "session_name"),
        ("Helicone-Session-Path", "session_path"),
    ):
        if row[column] is not None:
            properties[name] = row[column]
    return properties


def body_fragment(text: str | None, source: str) -> object:
    """A body's JSON text, to be put into the answer untouched.

    A side that was not sent is `{}` where Helicone's log format says so (ingest.md section 5), else null.
    """
    if text is not None:
        return orjson.Fragment(text)
    return {} if source.startswith("helicone.") else None
