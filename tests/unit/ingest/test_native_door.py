"""Goal: the native doors keep native.md. Method: calls into the application over a publisher in memory."""

import gzip
import json
from typing import Any

import pytest

from infra.key_ring import KeysUnavailable
from ingest.decode.record import decode
from ingest.errors import NotDurable, Overloaded, RecordTooLarge
from ingest.event import routing_key
from tests.unit.ingest.doors import READ_ONLY_KEY, Doors, make_doors

ID = "019b76da-af6c-7c3e-8f7a-2f6d1c0b9e55"


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def post(doors: Doors, body: Any, path: str = "/v1/events", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await doors.client.post(path, content=content, headers=headers)


async def test_one_event_is_published_under_its_session(doors: Doors) -> None:
    answer = await post(doors, {"event_id": ID.upper(), "session_id": "s", "request": {"n": 1.50}})
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 1, "rejected": 0, "results": [{"event_id": ID, "status": "accepted"}]}
    [(key, _)], [record] = doors.publisher.published, doors.publisher.records
    assert key == routing_key(7, "s", ID)
    assert (record.project_id, record.settings_version, record.session_id) == (7, 3, "s")
    assert decode(record).kind == "data"


async def test_bodies_are_cut_out_as_they_were_sent(doors: Doors) -> None:
    request, response = b'{"n": 1.50, "n":2,  "big": 18446744073709551616}', rb'"\u00e9\u0000"'
    await post(doors, b'{"request": ' + request + b', "response": ' + response + b"}")
    [record] = doors.publisher.records
    assert bytes(record.request) == request
    assert bytes(record.response) == response
    assert b"request" not in bytes(record.content)


async def test_a_batch_keeps_the_good_and_names_the_bad(doors: Doors) -> None:
    events = [{"event_id": ID}, {"started_at": "yesterday"}, {"sesion_id": "s"}]
    answer = await post(doors, events)
    assert answer.status_code == 200
    assert answer.json() == {
        "accepted": 1,
        "rejected": 2,
        "results": [
            {"event_id": ID, "status": "accepted"},
            {
                "index": 1,
                "status": "rejected",
                "error": "Invalid started_at: 'yesterday' is not a date-time",
                "code": "invalid_time",
            },
            {"index": 2, "status": "rejected", "error": "Unknown field 'sesion_id'", "code": "unknown_field"},
        ],
    }
    only = await post(doors, events, "/v1/events?results=errors")
    assert [result["status"] for result in only.json()["results"]] == ["rejected", "rejected"]


async def test_an_empty_array_is_nothing(doors: Doors) -> None:
    answer = await post(doors, [])
    assert (answer.status_code, answer.json()) == (200, {"accepted": 0, "rejected": 0, "results": []})


async def test_all_rejected_is_200_for_a_batch_and_400_alone(doors: Doors) -> None:
    assert (await post(doors, [{"status": 1000}])).status_code == 200
    alone = await post(doors, {"status": 1000})
    assert alone.status_code == 400
    assert alone.json() == {
        "error": "Invalid status: 1000 is not between -999 and 999",
        "code": "invalid_status",
    }


async def test_a_bad_line_of_ndjson_is_refused_alone(doors: Doors) -> None:
    answer = await post(doors, b'{"name":"a"}\n\n{"name":\n{"name":"b"}\n', **{"Content-Type": "application/x-ndjson"})
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 1)
    assert answer.json()["results"][1]["error"].startswith("Line 3: Invalid JSON: ")


async def test_blank_lines_of_ndjson_take_no_place(doors: Doors) -> None:
    body = b"\n\n\t\r\n" + b"{}\n\n\r\n" * 9_999 + b' {"odd":1}'
    answer = await post(doors, body, **{"Content-Type": "Application/X-NDJSON; charset=utf-8"})
    assert (answer.json()["accepted"], len(doors.publisher.published)) == (9_999, 9_999)
    last = answer.json()["results"][-1]
    assert (last["index"], last["error"]) == (9_999, f"Line {3 + 3 * 9_999 + 1}: Unknown field 'odd'")
    more = await post(doors, body + b"\n{}", **{"Content-Type": "application/x-ndjson"})
    assert (more.status_code, more.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Invalid JSON: input data was truncated"),
        (b'{"status": NaN}', "Invalid JSON: invalid character (byte 11)"),
        (b'{"name": "\xff"}', "Invalid JSON: not UTF-8 at byte 10"),
        (b'{"request": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "Invalid JSON: nested too deep"),
        (b'"text"', "Invalid event: expected object, got string"),
        (b'{"session_id": 5}', "Invalid session_id: expected string, got integer"),
        (b'{"error": {"typ": "x"}}', "Unknown field 'error.typ'"),
        (b'{"kind": "llmm"}', "Invalid kind: 'llmm' is none of data, llm, span, tool, vector_db"),
        (
            b'{"started_at": "2026-01-01T00:00:00"}',
            "Invalid started_at: '2026-01-01T00:00:00' has no time zone, add Z or an offset",
        ),
        (b'{"started_at": "9999-12-31T00:00:00Z"}', "Invalid started_at: it is in the future"),
        (b'{"started_at": -1}', "Invalid started_at: it is before 1970"),
        (b'{"started_at": 2, "ended_at": 1}', "Invalid started_at: it is later than ended_at"),
        (b'{"event_id": "seven"}', "Invalid event_id: 'seven' is not a UUID of version 1 to 8"),
        (b'{"cost_usd": -0.5}', "Invalid cost_usd: -0.5 is not between 0 and 1000000"),
        (b'{"properties": {"a": [1]}}', "Invalid properties: expected an object of strings, numbers and booleans"),
        (json.dumps({"session_id": "é" * 513}).encode(), "Invalid session_id: longer than 1024 bytes"),
        (
            json.dumps({"properties": {str(n): "" for n in range(201)}}).encode(),
            "Too many properties: 201, at most 200",
        ),
    ],
)
async def test_a_bad_event_is_refused_with_its_reason(doors: Doors, body: bytes, text: str) -> None:
    answer = await post(doors, body)
    assert (answer.status_code, answer.json()["error"]) == (400, text)
    assert doors.publisher.published == []


async def test_nul_is_removed_from_texts_and_lone_surrogates_are_replaced(doors: Doors) -> None:
    body = rb'{"session_id": "a\u0000b", "name": "\ud83d\ude00 \ud800 \\ud800", "request": "\udead"}'
    assert (await post(doors, body)).status_code == 200
    [record] = doors.publisher.records
    assert record.session_id == "ab"
    assert bytes(record.request) == rb'"\ufffd"'
    assert decode(record).model == "data:\U0001f600 \ufffd \\ud800"


async def test_gzip_is_read_and_bounded() -> None:
    doors = make_doors(native_body_bytes_max=10_000)
    good = gzip.compress(b'{"name":') + gzip.compress(b'"a"}')
    assert (await post(doors, good, **{"Content-Encoding": "gzip"})).status_code == 200
    bomb = gzip.compress(b" " * 50_000_000)
    assert (await post(doors, bomb, **{"Content-Encoding": "gzip"})).status_code == 413
    cut = await post(doors, good[:-3], **{"Content-Encoding": "gzip"})
    assert (cut.status_code, cut.json()["code"]) == (400, "invalid_body")
    assert (await post(doors, b"nothing", **{"Content-Encoding": "gzip"})).status_code == 400
    other = await post(doors, b"{}", **{"Content-Encoding": "br"})
    assert (other.status_code, other.headers["accept-encoding"]) == (415, "gzip, zstd")
    assert (await post(doors, b" " * 10_001)).status_code == 413


async def test_more_events_than_a_body_may_have(doors: Doors) -> None:
    assert (await post(doors, b"[" + b",".join([b"{}"] * 10_001) + b"]")).status_code == 413


async def test_a_record_that_is_too_large(doors: Doors) -> None:
    doors.publisher.faults = [RecordTooLarge(), RecordTooLarge()]
    alone = await post(doors, {"name": "a"})
    assert (alone.status_code, alone.json()) == (413, {"error": "Event too large", "code": "event_too_large"})
    batch = await post(doors, [{"name": "a"}, {"name": "b"}])
    assert (batch.json()["accepted"], batch.json()["results"][0]["error"]) == (1, "Event too large")


async def test_one_event_that_may_be_lost_makes_the_body_one_to_send_again(doors: Doors) -> None:
    doors.publisher.faults = [None, NotDurable()]
    answer = await post(doors, [{"name": "a"}, {"name": "b"}])
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "1", "not_durable")


async def test_overload_is_503_with_a_time_to_come_back(doors: Doors) -> None:
    doors.publisher.refusal = Overloaded(retry_after_seconds=2)
    answer = await post(doors, {"name": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("header", "status", "text"),
    [
        ("", 401, "Unauthorized"),
        ("Bearer nonsense", 401, "No API key found"),
        ("Bearer sk-pathline-zzzzzzz-bbbbbbb-ccccccc-ddddddd", 401, "No API key found"),
        (f"Bearer {READ_ONLY_KEY}", 403, "API key lacks write permission"),
    ],
)
async def test_who_may_not_send(doors: Doors, header: str, status: int, text: str) -> None:
    answer = await post(doors, {"name": "a"}, Authorization=header)
    assert (answer.status_code, answer.json()["error"]) == (status, text)


async def test_a_key_that_cannot_be_checked_is_503(doors: Doors) -> None:
    doors.keys.fault = KeysUnavailable()
    answer = await post(doors, {"name": "a"}, Authorization="Bearer sk-pathline-zzzzzzz-bbbbbbb-ccccccc-ddddddd")
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_away")


async def test_the_end_of_a_session(doors: Doors) -> None:
    answer = await post(doors, {"outcome": "failed", "reason": "gave up"}, "/v1/sessions/a%2Fb%20c/end")
    assert answer.status_code == 200
    event = decode(doors.publisher.records[0])
    assert str(event.event_id) == answer.json()["event_id"]
    assert (event.kind, event.session_id, event.outcome) == ("session_end", "a/b c", "failed")
    wrong = await post(doors, {"outcome": "well"}, "/v1/sessions/s/end")
    assert wrong.json()["error"] == "Invalid outcome: 'well' is neither completed nor failed"
    assert (await post(doors, {}, "/v1/sessions/s/end")).json()["error"] == "Missing field 'outcome'"


async def test_paths_and_methods(doors: Doors) -> None:
    assert (await post(doors, {"name": "a"}, "http://ingest//v1///events")).status_code == 200
    assert (await doors.client.get("/v1/events")).headers["allow"] == "POST, OPTIONS"
    unknown = await post(doors, {}, "/v1/nothing")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "invalid path")
    options = await doors.client.options(
        "/v1/events", headers={"Access-Control-Request-Headers": "helicone-session-id, x-other"}
    )
    assert "helicone-session-id" in options.headers["access-control-allow-headers"]
    assert "x-other" not in options.headers["access-control-allow-headers"]
    for path in ("/livez", "/readyz", "/healthcheck", "/metrics"):
        assert (await doors.client.get(path)).status_code == 200
        wrong = await post(doors, {}, path)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert wrong.json() == {"error": "Method not allowed", "code": "method_not_allowed"}
