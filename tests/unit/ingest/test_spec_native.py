"""Goal: every field of native.md has its default and its rule, and every answer its form.

Method: one call a row over a publisher in memory. Fields that are refused: test_bad_input.py, test_native_door.py.
"""

import json
from datetime import timedelta
from typing import Any

import pytest

from ingest.decode.record import decode
from ingest.event import Event, from_us
from tests.unit.ingest.doors import Doors, make_doors

EVENTS, NDJSON = "/v1/events", {"Content-Type": "application/x-ndjson"}
AT_US = 1_767_225_600_000_000
BAD = {"status": 1_000}


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def taken(doors: Doors, body: Any, path: str = EVENTS) -> Event:
    """The event that a body becomes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await doors.client.post(path, content=content)
    assert answer.status_code == 200, answer.text
    return decode(doors.publisher.records[-1])


@pytest.mark.parametrize(
    ("sent", "field", "stored"),
    [
        ({"event_id": "3B241101-E2BB-4255-8CAF-4136C566A962"}, "event_id", "3b241101-e2bb-4255-8caf-4136c566a962"),
        ({"session_id": "s" * 1_024}, "session_id", "s" * 1_024),
        ({"session_name": "n"}, "session_name", "n"),
        ({"path": "a//B/"}, "path", "a//B/"),
        ({"user_id": "u"}, "user_id", "u"),
        ({}, "user_id", ""),
        ({}, "kind", "data"),
        ({"model": "m"}, "kind", "llm"),
        ({"kind": "span", "model": "m"}, "kind", "span"),
        ({"kind": "llm"}, "model", "unknown"),
        ({"kind": "tool", "name": "t"}, "model", "tool:t"),
        ({"kind": "vector_db", "name": "t"}, "model", "vector_db"),
        ({"name": "n"}, "model", "data:n"),
        ({"kind": "span", "name": "n"}, "model", "n"),
        ({"started_at": 1767225600.25}, "started_at", from_us(AT_US + 250_000)),
        ({"started_at": 1767225600}, "ended_at", from_us(AT_US)),
        ({"started_at": "2026-01-01T01:00:00+01:00", "ended_at": "2026-01-01T00:00:01Z"}, "started_at", from_us(AT_US)),
        ({"ended_at": 1767225600}, "started_at", from_us(AT_US)),
        ({"time_to_first_token_ms": 1.5}, "time_to_first_token_us", 1_500),
        ({"time_to_first_token_ms": 0}, "time_to_first_token_us", 0),
        ({}, "time_to_first_token_us", None),
        ({}, "status", 200),
        ({"status": -999}, "status", -999),
        ({"status": 999}, "status", 999),
        ({"status": -2}, "is_error", False),
        ({"status": -4}, "is_error", True),
        ({"error": {}}, "is_error", True),
        ({"error": None}, "is_error", False),
        ({"error": {"type": "t"}}, "error_type", "t"),
        ({"error": {"message": "m"}}, "error_message", "m"),
        ({"provider": "p"}, "provider", "p"),
        ({"usage": {"prompt_tokens": 5, "cache_read_tokens": 3, "audio_tokens": 1}}, "prompt_tokens", 5),
        ({"usage": {"prompt_tokens": 5, "reasoning_tokens": 3}}, "reasoning_tokens", 3),
        ({"usage": {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 3}}}, "prompt_tokens", 2),
        ({"cost_usd": 0.0000000025}, "cost_nanousd", 2),
        ({"cost_usd": 1_000_000}, "cost_nanousd", 10**15),
        ({"cost_nanousd": 10**15}, "cost_nanousd", 10**15),
        ({"cost_nanousd": 0}, "cost_nanousd", 0),
        ({}, "cost_nanousd", None),
        ({"properties": {"a": "x", "n": 1, "b": False, "z": None}}, "properties", {"a": "x", "n": "1", "b": "false"}),
        ({"properties": None}, "properties", {}),
        ({"trace_id": "ab" * 16}, "trace_id", "ab" * 16),
        ({"span_id": "cd" * 8}, "span_id", "cd" * 8),
        ({"parent_span_id": "ef" * 8}, "parent_span_id", "ef" * 8),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_section_1_fields(doors: Doors, sent: dict[str, Any], field: str, stored: Any) -> None:
    found = getattr(await taken(doors, sent), field)
    assert (str(found) if field == "event_id" else found) == stored


async def test_section_1_bodies_are_any_json(doors: Doors) -> None:
    for body in (b"[1.50]", b'"text"', b"null", b"false", b'{"a":1,"a":2}'):
        await taken(doors, b'{"request":' + body + b',"response":' + body + b"}")
        record = doors.publisher.records[-1]
        assert (bytes(record.request), bytes(record.response)) == (body, body)


@pytest.mark.parametrize("field", ["session_id", "path", "kind", "status", "usage", "model"])
async def test_section_1_null_is_absent(doors: Doors, field: str) -> None:
    event, plain = [await taken(doors, body) for body in ({field: None}, {})]
    for name in ("session_id", "path", "kind", "status", "prompt_tokens", "model", "flags"):
        assert getattr(event, name) == getattr(plain, name)


@pytest.mark.parametrize(
    ("query", "statuses"), [("", ["accepted", "rejected", "accepted"]), ("?results=errors", ["rejected"])]
)
@pytest.mark.parametrize("form", ["array", "ndjson"])
async def test_section_1_results_in_the_order_sent(doors: Doors, form: str, query: str, statuses: list[str]) -> None:
    bodies = [{"name": "a"}, BAD, {"name": "b"}]
    lines = b"\n".join(json.dumps(body).encode() for body in bodies)
    content, headers = (json.dumps(bodies).encode(), {}) if form == "array" else (lines, NDJSON)
    answer = await doors.client.post(EVENTS + query, content=content, headers=headers)
    said = answer.json()
    assert (answer.status_code, said["accepted"], said["rejected"]) == (200, 2, 1)
    assert [result["status"] for result in said["results"]] == statuses
    [rejected] = [result for result in said["results"] if result["status"] == "rejected"]
    line = "Line 2: " if form == "ndjson" else ""
    assert rejected == {
        "index": 1,
        "status": "rejected",
        "error": f"{line}Invalid status: 1000 is not between -999 and 999",
        "code": "invalid_status",
    }


async def test_section_1_one_event_and_errors_only(doors: Doors) -> None:
    answer = await doors.client.post(f"{EVENTS}?results=errors", json={})
    assert answer.json() == {"accepted": 1, "rejected": 0, "results": []}


@pytest.mark.parametrize(("content", "headers"), [(b"[]", {}), (b"", NDJSON), (b"\n \n", NDJSON)])
async def test_section_1_nothing_is_200_with_zeros(doors: Doors, content: bytes, headers: dict[str, str]) -> None:
    answer = await doors.client.post(EVENTS, content=content, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 0, "rejected": 0, "results": []})


@pytest.mark.parametrize("form", ["array", "ndjson"])
async def test_section_1_ten_thousand_events_and_no_more(doors: Doors, form: str) -> None:
    for count, status in ((10_000, 200), (10_001, 413)):
        lines = [b"{}"] * count
        content = b"[" + b",".join(lines) + b"]" if form == "array" else b"\n".join(lines)
        answer = await doors.client.post(EVENTS, content=content, headers=NDJSON if form == "ndjson" else {})
        assert answer.status_code == status
    assert answer.json() == {"error": "Too many events: at most 10000 in one body", "code": "payload_too_large"}
    assert len(doors.publisher.published) == 10_000


async def test_section_1_all_rejected(doors: Doors) -> None:
    for content, headers in ((json.dumps([BAD]), {}), (json.dumps(BAD), NDJSON)):
        answer = await doors.client.post(EVENTS, content=content, headers=headers)
        assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (200, 0, 1)
    assert (await doors.client.post(EVENTS, json=BAD)).status_code == 400


async def test_section_1_a_broken_array_is_a_fault_of_the_whole(doors: Doors) -> None:
    answer = await doors.client.post(EVENTS, content=b'[{},{"name":}]')
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert doors.publisher.published == []


async def test_section_2_the_end_of_a_session(doors: Doors) -> None:
    end = await taken(doors, {"outcome": "completed"}, "/v1/sessions/s/end")
    assert (end.kind, end.outcome, end.outcome_reason) == ("session_end", "completed", None)
    assert end.started_at == end.received_at, "without a time it is the receipt's"
    at = await taken(doors, {"outcome": "failed", "reason": "r", "at": 1767225600}, "/v1/sessions/s/end")
    assert (at.started_at, at.outcome_reason) == (from_us(AT_US), "r")
    assert at.event_id != end.event_id, "a session may be ended again"
    assert end.received_at - at.received_at < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("path", "session_id"),
    [
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a+b", "a+b"),
        ("%F0%9F%8E%BF", "🎿"),
        ("a%3Fb%23c", "a?b#c"),
        ("%2e%2e", ".."),
        ("%20", " "),
    ],
)
async def test_section_3_an_id_is_decoded_once(doors: Doors, path: str, session_id: str) -> None:
    assert (await taken(doors, {"outcome": "failed"}, f"/v1/sessions/{path}/end")).session_id == session_id
