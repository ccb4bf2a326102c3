"""Goal: bad input has its documented code and text, at every door, and nothing of it is published.

Method: one call a row over a publisher in memory. What needs a server is in tests/integration/test_bad_clients.py; the
faults of ingest.md section 8 in their order are in test_helicone_checks.py, its numbered rules in
test_better_than_helicone.py.
"""

import gzip
import json
import re
from typing import Any

import pytest
import zstandard

from ingest.decode.record import decode
from ingest.event import EPOCH, Event
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.logs import SMALLEST, changed

EVENTS, LOG, END = "/v1/events", "/custom/v1/log", "/v1/sessions/s/end"
SMALLEST_LOG = json.dumps(SMALLEST).encode()
DEEP = b"[" * 10_000 + b"]" * 10_000
SEVENTY = 2**70
LAST_SECOND = "9999-12-31T23:59:59Z"
FUTURE_MS = str(253_402_300_799_000)
LONG = "x" * 100_000


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def refused(doors: Doors, path: str, body: bytes | Any, **headers: str) -> tuple[int, str, str]:
    """Status, code and text of an answer; and nothing was published."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await doors.client.post(path, content=content, headers=headers)
    assert doors.publisher.published == []
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()["code"], answer.json()["error"]


async def accepted(doors: Doors, path: str, body: bytes | Any, **headers: str) -> Event:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await doors.client.post(path, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return decode(doors.publisher.records[-1])


@pytest.mark.parametrize("path", [EVENTS, LOG, "/v1/trace/custom/log/typed"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Invalid JSON: input data was truncated"),
        (b"{", "Invalid JSON: input data was truncated"),
        (b'{"a":1}}', "Invalid JSON: trailing characters (byte N)"),
        (b'{"a":NaN}', "Invalid JSON: invalid character (byte N)"),
        (b'{"a":Infinity}', "Invalid JSON: invalid character (byte N)"),
        (b'{"a":-Infinity}', "Invalid JSON: invalid character (byte N)"),
        (b'{"a":' + DEEP + b"}", "Invalid JSON: nested too deep"),
        (b'{"a":"\xed\xa0\x80"}', "Invalid JSON: not UTF-8 at byte N"),
        (b"\xff\xfe{\x00}\x00", "Invalid JSON: not UTF-8 at byte N"),
        (b'{"a":"\x01"}', "Invalid JSON: invalid character (byte N)"),
        (b"a=1&b=2", "Invalid JSON: invalid character (byte N)"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else "",
)
async def test_what_is_no_json(doors: Doors, path: str, body: bytes, text: str) -> None:
    # A member that the door knows, so that it is not refused for its name.
    status, code, error = await refused(doors, path, body.replace(b'"a"', b'"request"' if path == EVENTS else b'"a"'))
    assert (status, code) == (400, "invalid_json")
    assert re.sub(r"(byte) \d+", r"\1 N", error) == text


@pytest.mark.parametrize("path", [EVENTS, LOG])
async def test_compressed_bodies_that_are_broken(doors: Doors, path: str) -> None:
    text = SMALLEST_LOG if path == LOG else b"{}"
    for body in (gzip.compress(text)[:-4], gzip.compress(text)[:12], b""):
        said = (400, "invalid_body", "Invalid JSON: the gzip body is cut off")
        assert await refused(doors, path, body, **{"Content-Encoding": "gzip"}) == said
    status, code, error = await refused(doors, path, text, **{"Content-Encoding": "gzip"})
    assert (status, code) == (400, "invalid_body")
    assert error.startswith("Invalid JSON: the body is no gzip (")


async def test_encodings_of_native_bodies(doors: Doors) -> None:
    body = zstandard.ZstdCompressor().compress(b'{"name":"a"}')
    assert (await accepted(doors, EVENTS, body, **{"Content-Encoding": "zstd"})).model == "data:a"
    end = zstandard.ZstdCompressor().compress(b'{"outcome":"completed"}')
    assert (await accepted(doors, END, end, **{"Content-Encoding": "ZSTD"})).kind == "session_end"
    assert (await accepted(doors, EVENTS, {}, **{"Content-Encoding": "identity"})).kind == "data"
    doors.publisher.published.clear()
    cut = (400, "invalid_body", "Invalid JSON: the zstd body is cut off")
    assert await refused(doors, EVENTS, body[:-1], **{"Content-Encoding": "zstd"}) == cut
    other = (415, "unsupported_encoding", "Unsupported Content-Encoding: send gzip, zstd or none")
    for encoding in ("br", "deflate", "gzip, zstd"):
        assert await refused(doors, EVENTS, body, **{"Content-Encoding": encoding}) == other
    log = (415, "unsupported_encoding", "Unsupported Content-Encoding: send gzip or none")
    assert await refused(doors, LOG, body, **{"Content-Encoding": "zstd"}) == log


@pytest.mark.parametrize("kind", ["", "text/html", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_wrong_content_type_is_no_fault(doors: Doors, kind: str) -> None:
    await accepted(doors, EVENTS, {}, **{"Content-Type": kind})
    await accepted(doors, LOG, SMALLEST_LOG, **{"Content-Type": kind})


async def test_an_array_sent_as_ndjson_is_a_bad_line(doors: Doors) -> None:
    answer = await doors.client.post(EVENTS, content=b"[{}]", headers={"Content-Type": "application/x-ndjson"})
    [result] = answer.json()["results"]
    assert (result["code"], result["error"]) == ("invalid_type", "Line 1: Invalid event: expected object, got array")


@pytest.mark.parametrize(
    ("field", "value", "code", "text"),
    [
        ("status", SEVENTY, "invalid_status", None),
        ("status", 200.5, "invalid_type", "Invalid status: expected integer, got number"),
        ("started_at", SEVENTY, "invalid_time", "Invalid started_at: it is in the future"),
        ("started_at", -1, "invalid_time", "Invalid started_at: it is before 1970"),
        ("started_at", -0.000001, "invalid_time", "Invalid started_at: it is before 1970"),
        ("started_at", LAST_SECOND, "invalid_time", "Invalid started_at: it is in the future"),
        ("ended_at", LAST_SECOND, "invalid_time", "Invalid ended_at: it is in the future"),
        ("started_at", "9999-12-31T23:59:59-10:00", "invalid_time", "Invalid started_at: it is in the future"),
        ("started_at", "10000-01-01", "invalid_time", "Invalid started_at: '10000-01-01' is not a date-time"),
        ("started_at", "2026-01-01T00:00:00", "invalid_time", None),
        ("session_id", LONG, "too_long", "Invalid session_id: longer than 1024 bytes"),
        ("session_id", "🎿" * 257, "too_long", "Invalid session_id: longer than 1024 bytes"),
        ("session_id", 5, "invalid_type", "Invalid session_id: expected string, got integer"),
        ("user_id", LONG, "too_long", "Invalid user_id: longer than 1024 bytes"),
        ("kind", "session_end", "invalid_kind", None),
        ("event_id", "0", "invalid_id", "Invalid event_id: '0' is not a UUID of version 1 to 8"),
        ("cost_usd", -0.1, "invalid_amount", "Invalid cost_usd: -0.1 is not between 0 and 1000000"),
        ("cost_nanousd", 10**15 + 1, "invalid_amount", None),
        ("time_to_first_token_ms", -1, "invalid_amount", None),
        ("error", "text", "invalid_type", "Invalid error: expected object, got string"),
        ("error", {"kind": "x"}, "unknown_field", "Unknown field 'error.kind'"),
        ("properties", {"a": {}}, "invalid_type", None),
        ("properties", {"a": LONG}, "too_long", None),
        ("properties", {LONG: "a"}, "too_long", None),
        (
            "properties",
            {str(n): "" for n in range(201)},
            "too_many_properties",
            "Too many properties: 201, at most 200",
        ),
        ("sesion_id", "s", "unknown_field", "Unknown field 'sesion_id'"),
        ("trace_id", LONG, "too_long", "Invalid trace_id: longer than 1024 bytes"),
    ],
)
async def test_fields_of_a_native_event(doors: Doors, field: str, value: Any, code: str, text: str | None) -> None:
    status, found, error = await refused(doors, EVENTS, {field: value})
    assert (status, found) == (400, code)
    assert len(error) < 200, "the text does not grow with what was sent"
    if text is not None:
        assert error == text
    batch = await doors.client.post(EVENTS, json=[{field: value}, {}])
    assert (batch.status_code, batch.json()["accepted"], batch.json()["results"][0]["code"]) == (200, 1, code)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("timing.startTime.seconds", -1, "startTime and endTime cannot be negative"),
        ("timing.startTime.seconds", SEVENTY, "startTime cannot be greater than endTime"),
        (
            "timing",
            {"startTime": str(FUTURE_MS), "endTime": str(FUTURE_MS)},
            "Invalid timing: 'startTime' is in the future",
        ),
        ("timing.endTime", LAST_SECOND, "Invalid timing: 'endTime' is in the future"),
        ("providerResponse.status", 1000, None),
        ("providerResponse.status", SEVENTY, None),
        ("providerResponse.cost", 10**7, None),
        ("providerRequest.url", LONG, "Invalid url: longer than 1024 bytes"),
        ("providerRequest.meta", {"Helicone-Session-Id": LONG}, "Invalid Helicone-Session-Id: longer than 1024 bytes"),
        ("providerRequest.meta", {"helicone_user_id": "🎿" * 257}, "Invalid Helicone-User-Id: longer than 1024 bytes"),
    ],
)
async def test_fields_of_a_log(doors: Doors, path: str, value: Any, text: str | None) -> None:
    status, _, error = await refused(doors, LOG, changed(path, value))
    assert status == 400
    assert len(error) < 200
    if text is not None:
        assert error == text


async def test_a_session_id_of_emoji_is_an_id(doors: Doors) -> None:
    name = "🎿" * 256
    assert (await accepted(doors, EVENTS, {"session_id": name})).session_id == name
    log = changed("providerRequest.meta", {"Helicone-Session-Id": name})
    assert (await accepted(doors, LOG, log)).session_id == name


async def test_of_repeated_keys_the_last_counts_and_bodies_keep_all(doors: Doors) -> None:
    event = await accepted(doors, EVENTS, b'{"status":200,"status":500,"request":{"a":1,"a":2}}')
    assert event.status == 500
    assert bytes(doors.publisher.records[0].request) == b'{"a":1,"a":2}'


async def test_lone_surrogates_are_replaced_and_pairs_kept(doors: Doors) -> None:
    event = await accepted(doors, EVENTS, rb'{"session_id":"a\ud800b\ud83c\udfbf","response":"\udfff"}')
    assert event.session_id == "a\ufffdb🎿"
    assert bytes(doors.publisher.records[0].response) == rb'"\ufffd"'
    log = SMALLEST_LOG.replace(b'"custom-model-nopath"', rb'"\ud800"')
    assert (await accepted(doors, LOG, log)).target_url == "\ufffd"


async def test_numbers_in_bodies_are_kept_whatever_their_size(doors: Doors) -> None:
    body = b'{"big":%d,"e":1e999,"tiny":1e-999}' % SEVENTY
    await accepted(doors, EVENTS, b'{"request":' + body + b',"usage":{"prompt_tokens":%d}}' % SEVENTY)
    assert bytes(doors.publisher.records[0].request) == body


async def test_the_first_second_is_a_time(doors: Doors) -> None:
    assert (await accepted(doors, EVENTS, {"started_at": 0})).started_at == EPOCH


async def test_the_end_of_a_session_that_no_session_can_have(doors: Doors) -> None:
    body = {"outcome": "completed"}
    long = (400, "too_long", "Invalid session id: longer than 1024 bytes")
    assert await refused(doors, f"/v1/sessions/{LONG[:1025]}/end", body) == long
    not_utf8 = (400, "invalid_id", "Invalid session id: it is not percent-encoded UTF-8")
    assert await refused(doors, "/v1/sessions/%FF/end", body) == not_utf8
    empty = (400, "missing_field", "Invalid session id: it is empty")
    assert await refused(doors, "/v1/sessions/%00/end", body) == empty
    assert await refused(doors, END, body | {"at": LAST_SECOND}) == (
        *(400, "invalid_time", "Invalid at: it is in the future"),
    )
    status, code, _ = await refused(doors, END, body | {"extra": 1})
    assert (status, code) == (400, "unknown_field")


@pytest.mark.parametrize(("path", "limit"), [(EVENTS, "native_body_bytes_max"), (LOG, "helicone_body_bytes_max")])
async def test_a_body_over_its_limit_compressed_or_not(path: str, limit: str) -> None:
    doors = make_doors(**{limit: 2_000})
    said = (413, "payload_too_large", "Payload too large")
    assert await refused(doors, path, b" " * 2_001) == said
    assert await refused(doors, path, gzip.compress(b" " * 2_001), **{"Content-Encoding": "gzip"}) == said
