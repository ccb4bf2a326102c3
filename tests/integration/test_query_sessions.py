"""Goal: lists of sessions, one session and freshness are answered as the specification says, over HTTP.

Method: a handful of hand-made events in a real database, asked through the whole application.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from infra.projects import change_settings
from ingest.event import Event
from tests.integration.query_rows import ORIGIN, event, store_events
from tests.integration.query_service import Keys, make_keys, query_client

SESSION = "trip/1 ü%"
ORIGIN_MS = ORIGIN.timestamp() * 1000


def trip() -> list[Event]:
    """Five requests of one session and a span that surrounds them."""
    fields: dict[str, Any] = {"session_id": SESSION, "prompt_tokens": 10, "completion_tokens": 5, "reasoning_tokens": 2}
    return [
        event(1, path="/plan", session_name="Trip", user_id="bob", cost_nanousd=1_000_000, **fields),
        event(2, path="/plan/weather", kind="tool", user_id="alice", **fields),
        event(3, path="/plan/weather", status=500, is_error=True, user_id="", **fields),
        event(4, path="/book/", session_name="Later name", user_id="alice", **fields),
        event(5, path=None, user_id="alice", received_at=ORIGIN + timedelta(hours=1), **fields),
        event(6, path="/book", kind="span", session_id=SESSION, started_at=ORIGIN - timedelta(seconds=10)),
    ]  # fmt: skip


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def keys(connection: asyncpg.Connection) -> Keys:
    return await make_keys(connection)


@pytest.fixture
async def client(database: str, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    async with query_client(database, keys.reader) as client:
        yield client


async def listed(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    response = await client.post("/v1/session/query", json=body)
    assert response.status_code == 200, response.text
    data: list[dict[str, Any]] = response.json()["data"]
    return data


async def test_a_session_of_the_list_has_every_field(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    await store_events(connection, trip())
    assert await listed(client) == [
        {
            "session_id": SESSION,
            "session_name": "Trip",
            "created_at": "2026-01-07T12:00:01.000Z",
            "latest_request_created_at": "2026-01-07T12:00:05.000Z",
            "total_requests": 5,
            "total_cost": 0.001,
            "prompt_tokens": 50,
            "completion_tokens": 25,
            "total_tokens": 75,
            "avg_latency": 100.0,
            "user_ids": ["alice", "bob"],
            "status": "completed",
            "duration_ms": 4100,
            "error_count": 1,
            "reasoning_tokens": 10,
            "prompt_cache_read_tokens": 0,
            "prompt_cache_write_tokens": 0,
        }
    ]


async def test_the_window_is_strict_and_on_the_requests(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    await store_events(connection, trip())
    window = {"startTimeUnixMs": ORIGIN_MS + 2000, "endTimeUnixMs": ORIGIN_MS + 5000}
    (session,) = await listed(client, timeFilter=window)
    assert (session["total_requests"], session["created_at"]) == (2, "2026-01-07T12:00:03.000Z")
    assert session["user_ids"] == ["alice"]
    assert await listed(client, timeFilter={"startTimeUnixMs": ORIGIN_MS + 5000}) == []
    (session,) = await listed(client, timeFilter=window, totals="session")
    assert (session["total_requests"], session["created_at"]) == (5, "2026-01-07T12:00:01.000Z")
    assert session["user_ids"] == ["alice", "bob"]


async def test_search_is_literal_and_ignores_case(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    await store_events(connection, [*trip(), event(9, session_id="other", session_name="Über _ 100")])
    for search, ids in {
        "TRIP": [SESSION], "Ü": ["other", SESSION], "%": [SESSION], "_": ["other"], "t_ip": [], "": ["other", SESSION]
    }.items():  # fmt: skip
        assert [one["session_id"] for one in await listed(client, search=search)] == ids, search
    assert [one["session_id"] for one in await listed(client, nameEquals="Trip")] == [SESSION]
    assert await listed(client, nameEquals="trip") == []


async def test_pages_neither_repeat_nor_skip_where_sessions_tie(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    await store_events(connection, [event(n, session_id=f"s{n:02}", started_at=ORIGIN) for n in range(1, 21)])
    seen: list[str] = []
    for offset in range(0, 21, 3):
        seen += [one["session_id"] for one in await listed(client, offset=offset, limit=3)]
    assert seen == [f"s{n:02}" for n in range(1, 21)]
    assert await listed(client, limit=-1) == []


async def test_the_list_is_ordered_by_any_figure(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    events = [event(n, session_id=f"s{n}", cost_nanousd=n % 3 * 1000, prompt_tokens=n) for n in range(1, 6)]
    await store_events(connection, events)
    by_cost = await listed(client, sort={"total_cost": "asc"})
    assert [one["session_id"] for one in by_cost] == ["s3", "s1", "s4", "s2", "s5"]
    by_tokens = await listed(client, sort={"total_tokens": "desc"}, totals="session")
    assert [one["session_id"] for one in by_tokens] == ["s5", "s4", "s3", "s2", "s1"]


async def test_more_users_than_the_row_holds_are_read_from_the_requests(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    await store_events(connection, [event(n, session_id="one", user_id=f"user{n:02}") for n in range(1, 41)])
    (session,) = await listed(client)
    assert session["user_ids"] == [f"user{n:02}" for n in range(1, 41)]


async def test_a_session_of_spans_only_is_native_only(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    await store_events(connection, [event(1, kind="span", session_id="spans")])
    assert await listed(client) == []
    (session,) = (await client.get("/v1/sessions")).json()["data"]
    assert (session["session_id"], session["request_count"], session["event_count"]) == ("spans", 0, 1)
    assert (session["first_request_at"], session["duration_ms"]) == (None, 100)


async def test_p_r_3_a_key_that_cannot_read_gets_403(database: str, keys: Keys) -> None:
    for path in ("/v1/session/query", "/v1/request/query", "/v1/request/query-clickhouse"):
        async with query_client(database, keys.writer) as client:
            response = await client.post(path, json={})
            assert response.status_code == 403
            wanted = {"data": None, "error": "API key lacks read permission", "trace": "isAuthenticated.error"}
            assert response.json() == wanted


async def test_no_project_sees_another(
    connection: asyncpg.Connection, database: str, keys: Keys, client: httpx.AsyncClient
) -> None:
    await store_events(connection, trip())
    async with query_client(database, keys.other) as other:
        widened = {
            "left": "all",
            "operator": "or",
            "right": {"request_response_rmt": {"organization_id": {"equals": "1"}}},
        }
        assert await listed(other, filter=widened) == []
        assert (await other.post("/v1/request/query", json={"filter": widened})).json()["data"] == []
        assert (await other.get("/v1/sessions")).json()["data"] == []
        assert (await other.get("/v1/sessions/trip%2F1%20%C3%BC%25")).status_code == 404
        assert (await other.get("/v1/freshness")).json()["data"]["newest_event_received_at"] is None


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "error"),
    [
        ("POST", "/v1/session/query", "{", 400, "Invalid JSON: "),
        ("POST", "/v1/session/query", '{"sort_by": 1}', 422, "Validation Failed: sort_by: "),
        ("POST", "/v1/session/query", '{"timezoneDifference": 1441}', 400, "Invalid timezone difference"),
        ("POST", "/v1/session/query", '{"filter": {"a": {}}}', 400, "Unknown filter table: a"),
        ("POST", "/v1/request/query", '{"limit": 1001}', 400, "invalid limit"),
        ("POST", "/v1/session/query", '{"search": "' + "x" * 11_000_000 + '"}', 413, "Payload too large"),
        ("GET", "/v1/sessions/nowhere", "", 404, "Session not found"),
        ("GET", "/v1/sessions/%FF", "", 404, "Session not found"),
        ("GET", "/v1/sessions/a%00", "", 404, "Session not found"),
        ("GET", "/v1/sessions?limit=0", "", 400, "Invalid limit"),
        ("GET", "/v1/sessions?status=lost", "", 400, "Invalid status"),
        ("GET", "/v1/sessions?cursor=x", "", 400, "Invalid cursor"),
        ("GET", "/v1/nothing", "", 404, "Not found"),
        ("GET", "/v1/sessions/a/b", "", 404, "Not found"),
        ("DELETE", "/v1/session/query", "", 405, "Method Not Allowed"),
    ],
)
async def test_p_r_5_errors_have_one_envelope(
    client: httpx.AsyncClient, method: str, path: str, content: str, status: int, error: str
) -> None:
    response = await client.request(method, path, content=content)
    assert response.status_code == status
    answer = response.json()
    assert answer["data"] is None
    assert answer["error"].startswith(error)


async def test_unknown_keys_get_401(database: str, keys: Keys) -> None:
    for key in ("nonsense", "sk-pathline-aaaaaaa-bbbbbbb-ccccccc-ddddddd"):
        async with query_client(database, key) as client:
            response = await client.post("/v1/session/query", json={})
            assert response.status_code == 401
            assert response.json() == {"data": None, "error": "No API key found", "trace": "isAuthenticated.error"}


async def test_native_pages_follow_each_other(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    same = [event(n, session_id=f"a{n}", started_at=ORIGIN) for n in range(1, 8)]
    await store_events(connection, [*same, *(event(n, session_id=f"b{n}") for n in range(20, 30))])
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 4}
    for _ in range(10):
        page = (await client.get("/v1/sessions", params=parameters)).json()
        seen += [one["session_id"] for one in page["data"]]
        if page["next"] is None:
            break
        parameters["cursor"] = page["next"]
    assert seen[:10] == [f"b{n}" for n in range(29, 19, -1)]
    assert sorted(seen[10:]) == [f"a{n}" for n in range(1, 8)]


async def test_status_is_derived_when_read(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    now = await connection.fetchval("SELECT now()")
    await store_events(
        connection,
        [
            event(1, session_id="fine"),
            event(2, session_id="broken", is_error=True),
            event(3, session_id="fresh", is_error=True, received_at=now),
            event(4, session_id="ended", is_error=True, received_at=now),
            event(5, session_id="ended", kind="session_end", outcome="completed", received_at=now),
        ],
    )
    wanted = {"fine": "completed", "broken": "failed", "fresh": "active", "ended": "completed"}
    assert {one["session_id"]: one["status"] for one in await listed(client)} == wanted
    for status in ("active", "completed", "failed"):
        page = (await client.get("/v1/sessions", params={"status": status})).json()["data"]
        assert {one["session_id"] for one in page} == {name for name, its in wanted.items() if its == status}
        assert {one["status"] for one in page} == {status}


async def test_the_idle_limit_is_the_projects(database: str, connection: asyncpg.Connection, keys: Keys) -> None:
    ten_minutes_ago = await connection.fetchval("SELECT now() - interval '10 minutes'")
    await store_events(connection, [event(1, session_id="s", received_at=ten_minutes_ago)])
    for idle_limit_seconds, status in ((300, "completed"), (900, "active")):
        await change_settings(connection, 1, {"idle_limit_seconds": idle_limit_seconds})
        # A client of a service that starts now: a running one uses the new settings within seconds.
        async with query_client(database, keys.reader) as client:
            assert [one["status"] for one in await listed(client)] == [status]
            assert (await client.get("/v1/sessions/s")).json()["data"]["status"] == status
            page = (await client.get("/v1/sessions", params={"status": status})).json()["data"]
            assert [one["session_id"] for one in page] == ["s"]


async def test_one_session_with_its_tree(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    await store_events(connection, trip())
    response = await client.get("/v1/sessions/trip%2F1%20%C3%BC%25")
    assert response.status_code == 200
    session = response.json()["data"]
    assert (session["session_id"], session["name"], session["status"]) == (SESSION, "Trip", "completed")
    assert (session["event_count"], session["request_count"], session["duration_ms"]) == (6, 5, 15_100)
    tree = [
        (node["path"], node["own"]["count"], node["subtree"]["count"], node["subtree"]["error_count"])
        for node in session["paths"]
    ]
    # "/book" began with its span, before anything else.
    assert tree == [("/", 1, 5, 1), ("/book", 1, 1, 0), ("/plan", 1, 3, 1), ("/plan/weather", 2, 2, 1)]
    weather = session["paths"][3]
    assert (weather["parent"], weather["depth"], weather["name"]) == ("/plan", 2, "weather")
    assert (weather["own"]["total_duration_ms"], weather["own"]["avg_duration_ms"]) == (200, 100)
    assert session["paths"][1]["own"]["span_count"] == 1
    assert session["paths"][0]["subtree"]["cost_usd"] == 0.001


async def test_freshness_is_the_least_over_the_partitions(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    nothing = (await client.get("/v1/freshness")).json()["data"]
    assert (nothing["as_of"], nothing["partitions"], nothing["newest_event_age_seconds"]) == (None, [], None)
    text = """INSERT INTO offsets (generation, topic, partition, next_offset, cluster_id, end_offset, as_of,
            fed_with, counted_from)
        VALUES (1, 'pathline.events', $1, $2, 'cluster', $3, $4, '{1}', 0)"""
    await connection.execute(text, 0, 10, 15, ORIGIN)
    await connection.execute(text, 1, 20, 19, ORIGIN + timedelta(seconds=3))
    await store_events(connection, trip())
    response = await client.get("/v1/freshness")
    data = response.json()["data"]
    assert data["as_of"] == response.headers["pathline-as-of"] == "2026-01-07T12:00:00.000Z"
    assert [(one["partition"], one["lag"], one["next_offset"]) for one in data["partitions"]] == [
        (0, 5, 10),
        (1, 0, 20),
    ]
    assert data["newest_event_received_at"] == "2026-01-07T13:00:00.000Z"
    assert data["age_seconds"] > data["newest_event_age_seconds"] > 0
    answer = await client.post("/v1/session/query", json={})
    assert answer.headers["pathline-as-of"] == "2026-01-07T12:00:00.000Z"
    # A partition that does not say how far it is makes the whole unknown.
    await connection.execute("UPDATE offsets SET as_of = NULL WHERE partition = 1")
    assert "pathline-as-of" not in (await client.post("/v1/session/query", json={})).headers


async def test_browsers_may_ask(client: httpx.AsyncClient) -> None:
    asked = {"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}
    wanted = {**asked, "Access-Control-Request-Headers": "Helicone-Auth, Content-Type"}
    preflight = await client.options("/v1/session/query", headers=wanted)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE"
    refused = await client.post("/v1/session/query", content="{", headers={"Origin": "http://elsewhere"})
    assert refused.headers["access-control-allow-origin"] == "*"
