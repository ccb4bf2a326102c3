"""What a list of sessions must be, computed the plain way: filter the events one by one, then group them.

Written from the read API's specification (sections 2.5 and 3.1) and sharing no code with `query`.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ingest.event import Event

SESSION_TABLE = "sessions_request_response_rmt"
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda a, b: a == b,
    "not-equals": lambda a, b: a != b,
    "gte": lambda a, b: a >= b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "lt": lambda a, b: a < b,
    "contains": lambda a, b: b.lower() in a.lower(),
    "not-contains": lambda a, b: b.lower() not in a.lower(),
}


def expected_sessions(
    events: list[Event], tree: Any, start_ms: float | None, end_ms: float | None, *, project_id: int = 1
) -> dict[str, dict[str, Any]]:
    """By session id: the figures that the answer must show."""
    by_session: dict[str, list[Event]] = defaultdict(list)
    everything: dict[str, list[Event]] = defaultdict(list)
    conjuncts = list(_conjuncts(tree))
    selecting = [one for one in conjuncts if not _names_session(one)]
    for one in events:
        if one.project_id != project_id or one.session_id is None:
            continue
        everything[one.session_id].append(one)
        unix_ms = one.started_at.timestamp() * 1000
        if one.kind in ("span", "session_end"):
            continue
        inside = (start_ms is None or unix_ms > start_ms) and (end_ms is None or unix_ms < end_ms)
        if inside and all(_holds(conjunct, [one], {}) for conjunct in selecting):
            by_session[one.session_id].append(one)
    listed = {}
    for session_id, matching in by_session.items():
        figures = _figures(session_id, matching, everything[session_id])
        if not any(_names_request(one) for one in conjuncts):
            _add_span_usage(figures, matching, everything[session_id], start_ms, end_ms)
        if all(_holds(one, matching, figures) for one in conjuncts if _names_session(one)):
            listed[session_id] = figures
    return listed


def _figures(session_id: str, matching: list[Event], everything: list[Event]) -> dict[str, Any]:
    named = [one for one in everything if one.session_name]
    named.sort(key=lambda one: (one.started_at, one.event_id))
    latency_us = sum(round((one.ended_at - one.started_at).total_seconds() * 10**6) for one in matching)
    return {
        "session_id": session_id,
        "session_name": named[0].session_name if named else "",
        "created_at": min(one.started_at for one in matching),
        "latest_request_created_at": max(one.started_at for one in matching),
        "total_requests": len(matching),
        "cost_nanousd": sum(one.cost_nanousd or 0 for one in matching),
        "prompt_tokens": sum(one.prompt_tokens for one in matching),
        "completion_tokens": sum(one.completion_tokens for one in matching),
        "latency_us": latency_us,
        "user_ids": sorted({one.user_id for one in matching} - {""}),
        "error_count": sum(one.is_error for one in matching),
        "reasoning_tokens": sum(one.reasoning_tokens for one in matching),
    }


def _add_span_usage(
    figures: dict[str, Any],
    matching: list[Event],
    everything: list[Event],
    start_ms: float | None,
    end_ms: float | None,
) -> None:
    """Spans of OpenTelemetry have usage where their project counts it.

    Those count that started inside the window; of a session whose requests all did, every span does.
    """
    is_whole = len(matching) == sum(one.kind not in ("span", "session_end") for one in everything)
    for one in everything:
        unix_ms = one.started_at.timestamp() * 1000
        inside = (start_ms is None or unix_ms > start_ms) and (end_ms is None or unix_ms < end_ms)
        if one.kind == "span" and one.source == "otlp" and (inside or is_whole):
            figures["cost_nanousd"] += one.cost_nanousd or 0
            for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens"):
                figures[name] += getattr(one, name)


def _conjuncts(node: Any) -> Any:
    if node == "all":
        return
    if "operator" in node:
        if node["operator"] == "and":
            yield from _conjuncts(node["left"])
            yield from _conjuncts(node["right"])
        else:
            yield node
        return
    for table, columns in node.items():
        for column, operators in columns.items():
            yield {table: {column: operators}}


def _names_session(node: Any) -> bool:
    if node == "all":
        return False
    if "operator" in node:
        return _names_session(node["left"]) or _names_session(node["right"])
    return SESSION_TABLE in node


def _names_request(node: Any) -> bool:
    if node == "all":
        return False
    if "operator" in node:
        return _names_request(node["left"]) or _names_request(node["right"])
    return any(table != SESSION_TABLE for table in node)


def _holds(node: Any, matching: list[Event], figures: dict[str, Any]) -> bool:
    if node == "all":
        return True
    if "operator" in node:
        sides = (_holds(node["left"], matching, figures), _holds(node["right"], matching, figures))
        return all(sides) if node["operator"] == "and" else any(sides)
    of_session = {SESSION_TABLE: node.get(SESSION_TABLE, {})}
    of_request = {table: columns for table, columns in node.items() if table != SESSION_TABLE}
    held = all(_compare(_session_value(figures, column), *test) for _, column, test in _tests(of_session))
    if of_request:
        held = held and any(
            all(_compare(_request_value(one, table, column), *test) for table, column, test in _tests(of_request))
            for one in matching
        )
    return held


def _tests(leaf: dict[str, Any]) -> Any:
    for table, columns in leaf.items():
        for column, operators in columns.items():
            if column == "properties":
                for name, inner in operators.items():
                    for test in inner.items():
                        yield "properties", name, test
            else:
                for test in operators.items():
                    yield table, column, test


def _session_value(figures: dict[str, Any], column: str) -> Any:
    return {
        "session_session_id": figures.get("session_id"),
        "session_session_name": figures.get("session_name"),
        "session_total_cost": figures.get("cost_nanousd", 0) / 10**9,
        "session_total_tokens": figures.get("prompt_tokens", 0) + figures.get("completion_tokens", 0),
        "session_total_requests": figures.get("total_requests"),
        "session_created_at": figures.get("created_at"),
    }[column]


def _request_value(one: Event, table: str, column: str) -> Any:
    if table == "properties":
        exact = one.properties.get(column)
        if exact is not None:
            return exact
        return next((value for name, value in sorted(one.properties.items()) if name.lower() == column.lower()), "")
    return {
        "status": one.status,
        "model": one.model,
        "provider": one.provider,
        "user_id": one.user_id,
        "latency": (one.ended_at - one.started_at).total_seconds() * 1000,
        "cost": (one.cost_nanousd or 0) / 10**9,
        "total_tokens": one.prompt_tokens + one.completion_tokens + one.reasoning_tokens,
        "request_created_at": one.started_at,
    }[column]


def _compare(value: Any, operator: str, wanted: Any) -> bool:
    if isinstance(value, datetime):
        wanted = datetime.fromisoformat(wanted).astimezone(UTC)
    return bool(COMPARISONS[operator](value, wanted))
