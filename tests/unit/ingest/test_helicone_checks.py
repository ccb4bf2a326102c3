"""Goal: fields, times and faults are treated as ingest.md sections 1, 5, 6 and 8 say. Method: one call a row."""

import gzip
import json
from typing import Any

import pytest

from ingest.decode.record import decode
from ingest.errors import RecordTooLarge
from ingest.event import from_us
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.logs import EXAMPLE, SMALLEST, changed, post

MISSING = "One of the required fields is missing, providerRequest, providerResponse, or timing"
AT_US = 1_767_225_600_000_000


@pytest.fixture
def doors() -> Doors:
    return make_doors()


@pytest.mark.parametrize("path", ["/v1/trace/custom/v1/log", "/v1/trace/custom/log", "/v1/trace/custom/log/typed"])
@pytest.mark.parametrize(
    ("sent", "label"), [("groq", "GROQ"), (" my-Model ", "MY-MODEL"), ("a\0b", "AB"), ("", "OPENAI"), (None, "OPENAI")]
)
async def test_the_body_names_the_provider_under_custom(doors: Doors, path: str, sent: str | None, label: str) -> None:
    assert (await post(doors, changed("timing", None) | {"provider": sent}, path)).status_code == 200
    [record] = doors.publisher.records
    assert decode(record).provider == label
    assert b'"provider"' not in bytes(record.content)


@pytest.mark.parametrize("sent", ["groq", 5, {"a": 1}])
async def test_the_route_names_the_provider_elsewhere(doors: Doors, sent: Any) -> None:
    assert (await post(doors, SMALLEST | {"provider": sent}, "/v1/trace/anthropic/v1/log")).status_code == 200
    assert decode(doors.publisher.records[0]).provider == "ANTHROPIC"


async def test_a_provider_has_a_limit(doors: Doors) -> None:
    answer = await post(doors, SMALLEST | {"provider": "x" * 1025}, "/v1/trace/custom/log")
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid provider: longer than 1024 bytes")


async def test_paths_that_are_not_served(doors: Doors) -> None:
    for path in ("/v1/log/request", "/v1/trace/custom", "/v1/trace/other/v1/log"):
        answer = await post(doors, SMALLEST, path)
        assert (answer.status_code, answer.json()["error"]) == (404, "invalid path")
    wrong = await doors.client.get("/v1/trace/custom/log")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-protobuf"])
async def test_the_content_type_does_not_matter(doors: Doors, kind: str) -> None:
    assert (await post(doors, SMALLEST, headers={"Content-Type": kind})).status_code == 200


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 200), ("br", 415), ("zstd", 415), ("deflate", 415)])
async def test_encodings(doors: Doors, encoding: str, status: int) -> None:
    body = gzip.compress(json.dumps(SMALLEST).encode())
    assert (await post(doors, body, headers={"Content-Encoding": encoding})).status_code == status


@pytest.mark.parametrize("value", [..., None, {}, [1], "text", 5, False])
@pytest.mark.parametrize("side", ["providerRequest", "providerResponse"])
async def test_a_body_may_be_any_json(doors: Doors, side: str, value: Any) -> None:
    assert (await post(doors, changed(f"{side}.json", value))).status_code == 200
    record = doors.publisher.records[0]
    stored = record.request if side == "providerRequest" else record.response
    default = value is ... or (value is None and side == "providerResponse")
    assert json.loads(bytes(stored)) == ({} if default else value)
    decode(record)


@pytest.mark.parametrize(("sent", "stored"), [(200, 200), (404.9, 404), (-3, -3), (999, 999), (-999, -999)])
async def test_the_status_is_kept_as_sent(doors: Doors, sent: float, stored: int) -> None:
    assert (await post(doors, changed("providerResponse.status", sent))).status_code == 200
    assert decode(doors.publisher.records[0]).status == stored


@pytest.mark.parametrize(
    ("sent", "stored"), [(150, 150_000), (0.5, 500), (0, 0), (None, None), (..., None), ("x", None)]
)
async def test_the_time_to_the_first_token(doors: Doors, sent: Any, stored: int | None) -> None:
    body = changed("timing", EXAMPLE["timing"] | {"timeToFirstToken": None if sent is ... else sent})
    assert (await post(doors, body)).status_code == 200
    assert decode(doors.publisher.records[0]).time_to_first_token_us == stored


@pytest.mark.parametrize("path", ["/custom/v1/log", "/v1/trace/custom/log"])
@pytest.mark.parametrize(
    ("sent", "us"),
    [
        ({"seconds": 1767225600, "milliseconds": 1500}, AT_US + 1_500_000),
        ({"seconds": 1767225600.25, "milliseconds": 0.001}, AT_US + 250_001),
        ("1767225600", AT_US),
        ("1767225600250", AT_US + 250_000),
        ("2026-01-01T00:00:00.123456", AT_US + 123_456),
        ("2026-01-01T01:00:00+01:00", AT_US),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
async def test_both_forms_of_a_time_on_every_route(doors: Doors, path: str, sent: Any, us: int) -> None:
    assert (await post(doors, changed("timing", {"startTime": sent, "endTime": sent}), path)).status_code == 200
    event = decode(doors.publisher.records[0])
    assert event.started_at == event.ended_at == from_us(us)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", None),
        (b"{nonsense", None),
        (b'{"providerRequest":{"url":5},nonsense', None),
        (b'{"a":"\xff"}', "Invalid JSON: not UTF-8 at byte 6"),
        (b"[" * 10_000, None),
        (b"null", MISSING),
        (b"[]", MISSING),
        (b'"text"', MISSING),
        *((changed(f"provider{side}", value), MISSING) for side in ("Request", "Response") for value in (..., 0, "")),
        (changed("timing.startTime", ...), "Invalid timing: 'startTime.seconds' should be a number"),
        (changed("timing.startTime.milliseconds", None), "Invalid timing: 'startTime.milliseconds' should be a number"),
        (changed("timing.endTime.seconds", True), "Invalid timing: 'endTime.seconds' should be a number"),
        (changed("timing.endTime.milliseconds", "1"), "Invalid timing: 'endTime.milliseconds' should be a number"),
        (
            changed("timing", {"startTime": "9999-12-31T23:59:59-10:00", "endTime": "9999-12-31T23:59:59-10:00"}),
            "Invalid timing: 'startTime' is in the future",
        ),
        (
            changed("timing", {"startTime": "0001-01-01T00:00:00+10:00", "endTime": "2026-01-01"}),
            "startTime and endTime cannot be negative",
        ),
        (changed("timing.endTime", "9999-12-31"), "Invalid timing: 'endTime' is in the future"),
    ],
)
async def test_faults_of_section_8(doors: Doors, body: Any, text: str | None) -> None:
    for path in ("/custom/v1/log", "/v1/trace/custom/log"):
        answer = await post(doors, body, path)
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert error == text if text else error.startswith("Invalid JSON: ")


FAULTS = [
    ("providerRequest.url", 5, "Invalid providerRequest: 'url' should be a string"),
    ("providerRequest.meta", 5, "Invalid providerRequest: 'meta' should be an object"),
    ("providerResponse.status", "x", "Invalid providerResponse: 'status' should be a number"),
    ("providerResponse.headers", 5, "Invalid providerResponse: 'headers' should be an object"),
    ("timing.endTime.seconds", "x", "Invalid timing: 'endTime.seconds' should be a number"),
    ("timing.startTime", "yesterday", "Invalid timing structure or value type"),
]


@pytest.mark.parametrize("place", range(len(FAULTS)))
async def test_the_first_fault_in_the_documented_order_answers(doors: Doors, place: int) -> None:
    body = EXAMPLE
    for path, value, _ in FAULTS[place:]:
        body = changed(path, value, body)
    answer = await post(doors, body, headers={"Helicone-Session-Id": "x" * 2000})
    assert answer.json()["error"] == FAULTS[place][2]


async def test_a_time_is_checked_before_a_limit(doors: Doors) -> None:
    body = changed("timing.startTime.seconds", 1767225700)
    answer = await post(doors, body, headers={"Helicone-Session-Id": "x" * 2000})
    assert answer.json()["error"] == "startTime cannot be greater than endTime"


async def test_what_is_unforeseen_or_too_large_for_a_record(doors: Doors) -> None:
    doors.publisher.faults = [RecordTooLarge()]
    assert (await post(doors, SMALLEST)).status_code == 413
    doors.publisher.refusal = RuntimeError("secret")
    answer = await post(doors, SMALLEST)
    assert (answer.status_code, answer.json()["error"]) == (500, "Internal error")
    assert answer.json()["id"]
    assert "secret" not in answer.text
