"""Goal: requests are found, ordered and shown as the specification says, their bodies byte for byte."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from query import requests
from tests.integration.query_rows import ORIGIN, event, store_events
from tests.integration.query_service import make_keys, query_client

PATHS = ("/v1/request/query", "/v1/request/query-clickhouse")
WEATHER = '{"_type": "tool",  "toolName": "weather_api", "input": {"location": "Nürnberg \\u0000 1.50 1e999"}}'


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def client(database: str, connection: asyncpg.Connection) -> AsyncIterator[httpx.AsyncClient]:
    keys = await make_keys(connection)
    async with query_client(database, keys.reader) as client:
        yield client


async def found(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    response = await client.post(PATHS[0], json=body)
    assert response.status_code == 200, response.text
    data: list[dict[str, Any]] = response.json()["data"]
    return data


async def numbers(client: httpx.AsyncClient, **body: Any) -> list[int]:
    """The numbers that the events were made with, in the order of the answer."""
    return [UUID(one["request_id"]).int & 0xFFFF for one in await found(client, **{"limit": 1000, **body})]


async def test_a_request_has_every_field(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    request = event(
        1,
        kind="tool",
        source="helicone.CUSTOM",
        session_id="550e8400-e29b-41d4-a716-446655440000",
        session_name="Trip",
        path="/plan/weather",
        ended_at=ORIGIN + timedelta(seconds=2, microseconds=250_000),
        provider="CUSTOM",
        model="tool:weather_api",
        target_url="custom-model-nopath",
        user_id="alice@example.com",
        prompt_tokens=7,
        completion_tokens=3,
        reasoning_tokens=2,
        cost_nanousd=12_340_000,
        properties={"environment": "production", "Helicone-Prompt-Id": "p1", "Helicone-Cache-Enabled": "true"},
    )
    await store_events(connection, [request], {request.event_id: (WEATHER, None)})
    for path in PATHS:
        response = await client.post(path, json={"filter": "all"})
        assert response.status_code == 200
        # Byte for byte, which parsing the answer would hide.
        assert f'"request_body":{WEATHER},' in response.text
    (shown,) = (await client.post(PATHS[0], json={})).json()["data"]
    properties = {
        "environment": "production",
        "Helicone-Prompt-Id": "p1",
        "Helicone-Cache-Enabled": "true",
        "Helicone-Session-Id": "550e8400-e29b-41d4-a716-446655440000",
        "Helicone-Session-Name": "Trip",
        "Helicone-Session-Path": "/plan/weather",
    }
    assert shown.pop("request_body")["toolName"] == "weather_api"
    assert shown == {
        "request_id": "00000000-0000-4000-8000-000000000001",
        "response_id": "00000000-0000-4000-8000-000000000001",
        "request_created_at": "2026-01-07T12:00:01.000Z",
        "response_created_at": "2026-01-07T12:00:02.250Z",
        "response_body": {},
        "response_status": 200,
        "request_path": "custom-model-nopath",
        "target_url": "custom-model-nopath",
        "request_user_id": "alice@example.com",
        "request_properties": properties,
        "properties": properties,
        "model": "tool:weather_api",
        "request_model": None,
        "response_model": None,
        "model_override": None,
        "provider": "CUSTOM",
        "delay_ms": 1250,
        "time_to_first_token": None,
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "reasoning_tokens": 2,
        "total_tokens": 12,
        "prompt_cache_read_tokens": 0,
        "prompt_cache_write_tokens": 0,
        "prompt_audio_tokens": 0,
        "completion_audio_tokens": 0,
        "cost": 0.01234,
        "costUSD": 0.01234,
        "scores": {},
        "feedback_rating": None,
        "feedback_created_at": None,
        "feedback_id": None,
        "prompt_id": "p1",
        "prompt_version": None,
        "cache_enabled": True,
        "cache_reference_id": "00000000-0000-0000-0000-000000000000",
        "helicone_user": None,
        "llmSchema": None,
        "country_code": None,
        "asset_ids": [],
        "asset_urls": {},
        "assets": [],
        "request_referrer": "",
        "ai_gateway_body_mapping": "",
        "updated_at": "2026-01-07T12:00:02.000Z",
        "storage_location": "postgres",
    }


async def test_a_decoded_body_wins_over_the_received_one(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    folded = event(1, decoded_response_body='{"folded": 1}')
    span = event(3, decoded_request_body='{"asked": "Straße"}', decoded_response_body='{"made": 1}')
    await store_events(connection, [folded, event(2), span], {folded.event_id: (None, '"raw"')})
    third, second, first = await found(client)
    assert (first["request_body"], first["response_body"]) == (None, {"folded": 1})
    assert (second["request_body"], second["response_body"]) == (None, None)
    assert (third["request_body"], third["response_body"]) == ({"asked": "Straße"}, {"made": 1})
    assert await numbers(client, filter={"request_response_rmt": {"request_body": {"contains": "Straße"}}}) == [3]


async def test_p_r_11_the_requests_of_a_session_in_both_dialects(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    await store_events(connection, [event(n, session_id="one" if n % 2 else "two") for n in range(1, 8)])
    await store_events(connection, [event(8, session_id="three", kind="span"), event(9)])
    for name in ("Helicone-Session-Id", "helicone-session-id"):
        leaf = {"properties": {name: {"equals": "one"}}}
        for tree in (leaf, {"request_response_rmt": leaf}):
            assert await numbers(client, filter=tree, sort={"created_at": "asc"}) == [1, 3, 5, 7]
    assert await numbers(client, filter={"properties": {"Helicone-Session-Id": {"equals": "three"}}}) == []
    assert await numbers(client, filter={"properties": {"Helicone-Session-Id": {"equals": ""}}}) == [9]


async def test_filters_of_every_kind(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    plain = event(1, model="gpt-4o", properties={"Team": "a"}, time_to_first_token_us=1500, cost_nanousd=300_000)
    other = event(2, model="100%_GPT", request_model="x", status=500, user_id="bob", kind="vector_db", path="/p")
    bodies = {plain.event_id: ('{"q": "Straße"}', None), other.event_id: (None, '{"a": 1}')}
    await store_events(connection, [plain, other], bodies)
    rmt = "request_response_rmt"
    for tree, wanted in [
        ({rmt: {"model": {"like": "gpt%"}}}, [1]),
        ({rmt: {"model": {"ilike": "%gpt%"}}}, [2, 1]),
        ({rmt: {"model": {"contains": "0%_g"}}}, [2]),
        ({rmt: {"model": {"not-contains": "0%_g"}}}, [1]),
        ({rmt: {"request_id": {"equals": str(plain.event_id)}}}, [1]),
        ({rmt: {"request_id": {"equals": "nonsense"}}}, []),
        ({rmt: {"request_id": {"contains": "8000-000000000002"}}}, [2]),
        ({rmt: {"cost": {"equals": 0.0003}}}, [1]),
        ({rmt: {"cost": {"lte": "0"}}}, [2]),
        ({rmt: {"latency": {"gte": 100, "lte": 100}}}, [2, 1]),
        ({rmt: {"time_to_first_token": {"equals": 1.5}}}, [1]),
        ({rmt: {"time_to_first_token": {"equals": "null"}}}, [2]),
        ({rmt: {"user_id": {"equals": "__empty__"}}}, [1]),
        ({rmt: {"request_body": {"contains": "STRAß"}}}, [1]),
        ({rmt: {"response_body": {"equals": "null"}}}, [1]),
        ({"response": {"body_completion": {"contains": '"a"'}}}, [2]),
        ({"request": {"model": {"equals": "x"}}}, [2]),
        ({"request": {"model": {"not-equals": "x"}}}, [1]),
        ({rmt: {"property_key": {"equals": "TEAM"}}}, [1]),
        ({rmt: {"property_key": {"equals": "Helicone-Session-Path"}}}, [2]),
        ({"properties": {"team": {"not-equals": "a"}}}, [2]),
        ({"properties": {"tEAM": {"equals": "a"}}}, [1]),
        ({rmt: {"cached": {"equals": "true"}}}, []),
        ({rmt: {"organization_id": {"equals": "1"}}}, [2, 1]),
        ({rmt: {"request_created_at": {"gte": "2026-01-07T13:00:02+01:00"}}}, [2]),
        ({"left": {rmt: {"status": {"gte": 500}}}, "operator": "or", "right": {rmt: {"cost": {"gt": 0}}}}, [2, 1]),
    ]:  # fmt: skip
        assert await numbers(client, filter=tree) == wanted, tree
    assert await numbers(client, isCached=True) == []
    assert await numbers(client, isPartOfExperiment=False) == [2, 1]


async def test_order_and_pages(connection: asyncpg.Connection, client: httpx.AsyncClient) -> None:
    known = {1: 3000, 2: None, 3: 1000, 4: 3000}
    await store_events(connection, [event(n, time_to_first_token_us=us, model=f"m{n}") for n, us in known.items()])
    assert await numbers(client) == [4, 3, 2, 1]
    assert await numbers(client, sort={"created_at": "asc"}) == [1, 2, 3, 4]
    # Unknown values last in either direction; ties by start, the newest first.
    assert await numbers(client, sort={"time_to_first_token": "asc"}) == [3, 4, 1, 2]
    assert await numbers(client, sort={"time_to_first_token": "desc"}) == [4, 1, 3, 2]
    assert await numbers(client, sort={"body_model": "desc"}) == [4, 3, 2, 1]
    assert sorted(await numbers(client, sort={"random": True})) == [1, 2, 3, 4]
    assert await numbers(client, limit=2, offset=1) == [3, 2]
    assert await numbers(client, limit=0) == []


async def test_a_page_larger_than_the_limit_is_refused(
    connection: asyncpg.Connection, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f'"{"x" * 60_000}"'
    events = [event(n) for n in range(1, 4)]
    await store_events(connection, events, {one.event_id: (body, body) for one in events})
    monkeypatch.setattr(requests, "PAGE_BYTES_MAX", 300_000)
    assert len(await found(client, limit=2)) == 2
    response = await client.post(PATHS[0], json={"limit": 3})
    assert response.status_code == 400
    assert response.json() == {"data": None, "error": "Query returned too many rows. Add more filters."}


async def test_a_body_of_10_mib_comes_back_byte_for_byte(
    connection: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    body = '{"text": "' + "äx\\u00e4" * (10 * 1024 * 1024 // 9) + '"}'
    large = event(1)
    await store_events(connection, [large], {large.event_id: (body, body)})
    response = await client.post(PATHS[0], json={})
    assert f'"request_body":{body},"response_body":{body},'.encode() in response.content
