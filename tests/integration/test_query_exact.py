"""Goal: a session's totals are always those of a plain GROUP BY over its matching requests.

Method: random events, random windows and random filters; each answer is compared with `query_oracle`, which filters
and groups the events one by one in Python. The seed is printed and part of the test's name.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from ingest.event import EPOCH, Event
from tests.integration.query_oracle import expected_sessions
from tests.integration.query_rows import ORIGIN, random_events, store_events
from tests.integration.query_service import make_keys, query_client

QUESTIONS = 50


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_totals_equal_a_plain_group_by(database: str, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    random = Random(seed)
    events = random_events(random, 1_500)
    connection = await asyncpg.connect(database)
    keys = await make_keys(connection)
    await store_events(connection, events)
    await connection.close()
    edges = session_edges(events)
    listed_count = 0
    async with query_client(database, keys.reader) as client:
        for _ in range(QUESTIONS):
            tree = random_tree(random, 3)
            start_ms, end_ms = random_window(random, edges)
            window = {"startTimeUnixMs": start_ms, "endTimeUnixMs": end_ms}
            body = {"filter": tree, "timeFilter": {k: v for k, v in window.items() if v is not None}, "limit": 1000}
            response = await client.post("/v1/session/query", json=body)
            assert response.status_code == 200, (body, response.text)
            shown = {one["session_id"]: one for one in response.json()["data"]}
            assert len(shown) == len(response.json()["data"]), body
            wanted = expected_sessions(events, tree, start_ms, end_ms)
            assert shown.keys() == wanted.keys(), body
            listed_count += len(wanted)
            for session_id, figures in wanted.items():
                assert_shows(shown[session_id], figures, body)
    # The comparison is worth something only where there is something to compare.
    assert listed_count > QUESTIONS


def assert_shows(shown: dict[str, Any], figures: dict[str, Any], body: object) -> None:
    """The answer's object shows exactly these figures."""
    plain = ("session_name", "total_requests", "prompt_tokens", "completion_tokens", "user_ids", "error_count")
    for name in (*plain, "reasoning_tokens"):
        assert shown[name] == figures[name], (name, body)
    assert shown["total_cost"] == pytest.approx(figures["cost_nanousd"] / 10**9, abs=1e-12), body
    assert shown["total_tokens"] == figures["prompt_tokens"] + figures["completion_tokens"], body
    assert shown["avg_latency"] == pytest.approx(figures["latency_us"] / 1000 / figures["total_requests"]), body
    for name in ("created_at", "latest_request_created_at"):
        assert shown[name] == as_shown(figures[name]), (name, body)


def as_shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def session_edges(events: list[Event]) -> list[datetime]:
    """First and last request of each session."""
    starts = defaultdict(list)
    for one in events:
        if one.kind not in ("span", "session_end"):
            starts[one.project_id, one.session_id].append(one.started_at)
    return [edge for its in starts.values() for edge in (min(its), max(its))]


def random_window(random: Random, edges: list[datetime]) -> tuple[float | None, float | None]:
    """Bounds anywhere, or exactly on a session's edge, or none."""

    def bound() -> float | None:
        if random.random() < 0.3:
            return None
        if random.random() < 0.5:
            return (random.choice(edges) - EPOCH) // timedelta(milliseconds=1)
        days = random.choice([random.uniform(-1, 3), random.uniform(-901, -897)])
        return ORIGIN.timestamp() * 1000 + days * 86_400_000

    start, end = bound(), bound()
    return (end, start) if start is not None and end is not None and start > end else (start, end)


def random_tree(random: Random, levels: int) -> Any:
    if levels and random.random() < 0.6:
        operator = random.choice(["and", "or"])
        return {"left": random_tree(random, levels - 1), "operator": operator, "right": random_tree(random, levels - 1)}
    return random.choice(["all", *[random_leaf(random) for _ in range(6)]])


def random_leaf(random: Random) -> Any:
    text = random.choice(["equals", "not-equals", "contains", "not-contains"])
    number = random.choice(["equals", "not-equals", "gt", "gte", "lt", "lte"])
    moment = (ORIGIN + timedelta(hours=random.uniform(0, 40))).isoformat()
    of_request: dict[str, Any] = random.choice(
        [
            {"status": {number: random.choice([200, 500, -1])}},
            {"model": {text: random.choice(["gpt-4o", "GPT", "claude"])}},
            {"user_id": {text: random.choice(["user1@example.com", "USER", ""])}},
            {"cost": {number: random.randrange(10**8) / 10**9}},
            {"total_tokens": {number: random.randrange(2000)}, "provider": {"equals": "OPENAI"}},
            {"request_created_at": {random.choice(["gt", "lt"]): moment}},
            {"properties": {"ENVIRONMENT": {text: random.choice(["production", "PROD", ""])}}},
            {"properties": {"team%_": {text: "0%_s"}, "environment": {"not-equals": "staging"}}},
        ]
    )
    of_session: dict[str, Any] = random.choice(
        [
            {"session_total_cost": {number: random.choice([0, 0.5, 1.0])}},
            {"session_total_requests": {number: random.choice([1, 5, 20])}},
            {"session_total_tokens": {random.choice(["gt", "lt"]): random.randrange(40_000)}},
            {"session_session_name": {text: random.choice(["Trip", "trip", "ÜNÏ"])}},
            {"session_session_id": {text: random.choice(["session/03 %", "/1", "%"])}},
            {"session_created_at": {random.choice(["gt", "lt"]): moment}},
        ]
    )
    leaf: Any = {"request_response_rmt": of_request}
    if random.random() < 0.5:
        leaf = {"sessions_request_response_rmt": of_session}
    if random.random() < 0.1:
        leaf = {"request_response_rmt": of_request, "sessions_request_response_rmt": of_session}
    return leaf
