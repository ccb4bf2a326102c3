"""How the samples are put on the wire: the native batch format, or Helicone's log endpoints with headers."""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ingest.samples.bodies import error_text, is_claude
from ingest.samples.errors import SamplesFailed
from ingest.samples.http_client import HttpClient
from ingest.samples.sessions import Call, SampleSession
from ingest.samples.steps import DataStep, ModelCall, ToolCall, VectorSearch

URLS = {"openai": "https://api.openai.com/v1/chat/completions", "anthropic": "https://api.anthropic.com/v1/messages"}


def log_session(ingest: HttpClient, session: SampleSession) -> None:
    """Log all calls of a session, then its end where it has one. Each answer means that its events are durable.

    Raises:
        SamplesFailed: something was refused.
    """
    if session.protocol == "native":
        _log_batch(ingest, session)
    else:
        for call in session.calls:
            ingest.post(helicone_route(call), helicone_body(call), helicone_headers(session, call))
    if session.outcome is not None:
        end = {"outcome": session.outcome, "reason": session.reason, "at": session.ended_at.isoformat()}
        ingest.post(f"/v1/sessions/{quote(session.session_id, safe='')}/end", end)


def _log_batch(ingest: HttpClient, session: SampleSession) -> None:
    answer = json.loads(ingest.post("/v1/events", [native_event(session, call) for call in session.calls]))
    if answer["rejected"]:
        faults = [result["error"] for result in answer["results"] if result["status"] == "rejected"]
        raise SamplesFailed(f"{answer['rejected']} of {len(session.calls)} events were rejected: {faults[0]}")


def native_event(session: SampleSession, call: Call) -> dict[str, Any]:
    """The call as one object of `POST /v1/events`."""
    event = {
        "event_id": call.event_id,
        "session_id": session.session_id,
        "session_name": session.name,
        "path": call.step.path,
        "user_id": session.user_id,
        "started_at": call.started_at.isoformat(),
        "ended_at": call.ended_at.isoformat(),
        "status": call.step.status,
        "properties": session.properties,
        "request": call.request,
        "response": call.response,
        **_kind(call),
    }
    if call.first_token_ms is not None:
        event["time_to_first_token_ms"] = call.first_token_ms
    if "usage" in call.response:
        event["usage"] = call.response["usage"]
    if (message := error_text(call.step, call.response)) is not None:
        event["error"] = {"type": f"http_{call.step.status}", "message": message}
    return event


def _kind(call: Call) -> dict[str, str]:
    match call.step:
        case ModelCall(model=model):
            return {"kind": "llm", "model": model, "provider": "ANTHROPIC" if is_claude(model) else "OPENAI"}
        case ToolCall(tool=name):
            return {"kind": "tool", "name": name}
        case VectorSearch(database=name):
            return {"kind": "vector_db", "name": name}
        case DataStep(name=name):
            return {"kind": "data", "name": name}
    raise TypeError(f"no kind for a {type(call.step).__name__}")


def helicone_route(call: Call) -> str:
    """The log endpoint of the call's provider."""
    if isinstance(call.step, ModelCall):
        return "/anthropic/v1/log" if is_claude(call.step.model) else "/oai/v1/log"
    return "/custom/v1/log"


def helicone_headers(session: SampleSession, call: Call) -> dict[str, str]:
    """What Helicone's clients say in headers."""
    properties = {f"Helicone-Property-{name.title()}": value for name, value in session.properties.items()}
    return {
        "Helicone-Request-Id": call.event_id,
        "Helicone-Session-Id": session.session_id,
        "Helicone-Session-Name": session.name,
        "Helicone-Session-Path": call.step.path,
        "Helicone-User-Id": session.user_id,
        **properties,
    }


def helicone_body(call: Call) -> dict[str, Any]:
    """The call as the body of a log endpoint."""
    url = "custom-model-nopath"
    if isinstance(call.step, ModelCall):
        url = URLS["anthropic" if is_claude(call.step.model) else "openai"]
    timing: dict[str, Any] = {"startTime": _instant(call.started_at), "endTime": _instant(call.ended_at)}
    if call.first_token_ms is not None:
        timing["timeToFirstToken"] = call.first_token_ms
    return {
        "providerRequest": {"url": url, "json": call.request, "meta": {}},
        "providerResponse": {"json": call.response, "status": call.step.status, "headers": {}},
        "timing": timing,
    }


def _instant(at: datetime) -> dict[str, int]:
    return {"seconds": int(at.timestamp()), "milliseconds": at.microsecond // 1_000}
