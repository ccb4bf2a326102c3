"""Goal: the log endpoints keep ingest.md sections 2, 3 and 8. Method: calls over a publisher in memory."""

import json
from typing import Any
from uuid import uuid5

import pytest

from ingest.decode.metadata import REQUEST_ID_NAMESPACE
from ingest.decode.record import decode
from ingest.errors import NotDurable
from tests.unit.ingest.doors import KEY, LEGACY_KEY, Doors, make_doors
from tests.unit.ingest.logs import EXAMPLE, SMALLEST, changed, post

UNKNOWN_KEY = "sk-pathline-zzzzzzz-bbbbbbb-ccccccc-ddddddd"


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def test_the_example_of_the_specification(doors: Doors) -> None:
    headers = {
        "Helicone-Session-Id": "550e8400-e29b-41d4-a716-446655440000",
        "Helicone-Session-Path": "/plan/weather",
        "Helicone-Session-Name": "Trip",
        "Helicone-User-Id": "alice@example.com",
        "Helicone-Property-Environment": "production",
    }
    answer = await post(doors, EXAMPLE, headers=headers)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    event = decode(doors.publisher.records[0])
    assert str(event.event_id) == answer.headers["helicone-id"]
    assert (event.kind, event.model, event.provider, event.status) == ("tool", "tool:weather_api", "CUSTOM", 200)
    assert (event.ended_at - event.started_at).total_seconds() == 1.25
    assert (event.session_id, event.path, event.session_name) == (
        headers["Helicone-Session-Id"],
        "/plan/weather",
        "Trip",
    )
    assert event.user_id == "alice@example.com"
    assert event.properties == {"environment": "production", "team": "travel"}


async def test_the_smallest_body(doors: Doors) -> None:
    assert (await post(doors, SMALLEST)).status_code == 200
    [record] = doors.publisher.records
    event = decode(record)
    assert (bytes(record.request), bytes(record.response)) == (b"{}", b"{}")
    assert event.started_at == event.ended_at
    assert (event.kind, event.model) == ("llm", "unknown")


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        ("/custom/v1/log", "CUSTOM"),
        ("/oai/v1/log", "OPENAI"),
        ("/anthropic/v1/log", "ANTHROPIC"),
        ("/googleapis/v1/log", "GOOGLE"),
        ("http://ingest//custom/v1/log", "CUSTOM"),
    ],
)
async def test_the_route_names_the_provider(doors: Doors, path: str, provider: str) -> None:
    assert (await post(doors, SMALLEST, path)).status_code == 200
    assert decode(doors.publisher.records[0]).provider == provider


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("providerRequest", ..., "One of the required fields is missing, providerRequest, providerResponse, or timing"),
        (
            "providerResponse",
            None,
            "One of the required fields is missing, providerRequest, providerResponse, or timing",
        ),
        ("providerRequest.url", 5, "Invalid providerRequest: 'url' should be a string"),
        ("providerRequest", "text", "Invalid providerRequest: 'url' should be a string"),
        ("providerRequest.meta", "text", "Invalid providerRequest: 'meta' should be an object"),
        ("providerResponse.status", "200", "Invalid providerResponse: 'status' should be a number"),
        ("providerResponse.status", True, "Invalid providerResponse: 'status' should be a number"),
        ("providerResponse.headers", [], "Invalid providerResponse: 'headers' should be an object"),
        ("timing.startTime.seconds", "1", "Invalid timing: 'startTime.seconds' should be a number"),
        ("timing.endTime", ..., "Invalid timing: 'endTime.seconds' should be a number"),
        ("timing", 5, "Invalid timing structure or value type"),
        ("timing.startTime", "yesterday", "Invalid timing structure or value type"),
        ("timing.startTime.seconds", 1767225700, "startTime cannot be greater than endTime"),
        ("timing.startTime.seconds", -5, "startTime and endTime cannot be negative"),
        ("timing.endTime.seconds", 2**70, "Invalid timing: 'endTime' is in the future"),
        ("providerResponse.status", 2**70, f"Invalid status: {2**70} is not between -999 and 999"),
        ("providerResponse.cost", 10**7, "Invalid cost: more than 1000000 USD"),
    ],
)
async def test_a_bad_log_is_refused_in_helicones_words(doors: Doors, path: str, value: Any, text: str) -> None:
    answer = await post(doors, changed(path, value))
    assert (answer.status_code, answer.json()["error"]) == (400, text)


@pytest.mark.parametrize("path", ["providerRequest.json", "providerRequest.meta", "providerResponse.json", "timing"])
@pytest.mark.parametrize("value", [..., None])
async def test_what_may_be_missing_may_be_missing(doors: Doors, path: str, value: Any) -> None:
    assert (await post(doors, changed(path, value))).status_code == 200


async def test_http_wins_over_meta_and_credentials_are_kept_out(doors: Doors) -> None:
    meta = {
        "helicone-SESSION-id": "from meta",
        "helicone_session_path": "/spelled",
        "Helicone-Auth": "Bearer secret-in-meta",
        "Authorization": "Bearer secret-in-meta",
        "user_api_key": "secret-in-meta",
        "Helicone-Posthog-Key": "secret-in-meta",
        "helicone_property_number": 1.50,
        "Helicone-Property-Object": {"a": [1, 2]},
        "Helicone-Property-Null": None,
        "bad\nname": 1,
    }
    headers = {
        "Helicone-Session-Id": " from http ",
        "Helicone-Auth": f"Bearer {KEY}",
        "Authorization": "Bearer sk-openai",
    }
    assert (await post(doors, changed("providerRequest.meta", meta), headers=headers)).status_code == 200
    [(_, value)] = doors.publisher.published
    assert b"secret" not in value
    assert KEY.encode() not in value
    event = decode(doors.publisher.records[0])
    assert (event.session_id, event.path) == ("from http", "/spelled")
    assert event.properties == {"number": "1.5", "object": '{"a":[1,2]}', "Helicone-Sent-To-Posthog": "true"}


async def test_a_credential_in_meta_does_not_authenticate(doors: Doors) -> None:
    body = changed("providerRequest.meta", {"Helicone-Auth": f"Bearer {KEY}"})
    assert (await post(doors, body, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Helicone-Auth": f"Bearer {KEY}", "Authorization": "Bearer other"},
        {"Authorization": f"Bearer sk-provider, Bearer {KEY}"},
        {"Authorization": f"Bearer%20{KEY}"},
        {"Authorization": KEY},
        {"Authorization": "", "x-api-key": KEY},
        {"Authorization": "", "api-key": f"Bearer {KEY}"},
        {"Authorization": f"Bearer {LEGACY_KEY}, Bearer sk-provider"},
        {"Helicone-Auth": "", "Authorization": f"Bearer {LEGACY_KEY}"},
        {"Helicone-Auth": f"bearer   {KEY} ", "Authorization": ""},
    ],
    ids=["helicone-auth", "list", "percent", "bare", "x-api-key", "api-key", "first of a list", "empty", "spaces"],
)
async def test_where_a_key_may_stand(doors: Doors, headers: dict[str, str]) -> None:
    assert (await post(doors, SMALLEST, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Helicone-Auth": UNKNOWN_KEY, "Authorization": f"Bearer {KEY}"},
        {"Authorization": f"Bearer {UNKNOWN_KEY}", "x-api-key": KEY},
        {"Authorization": f"Bearer {UNKNOWN_KEY}, Bearer {LEGACY_KEY}"},
        {"Authorization": "", "x-api-key": UNKNOWN_KEY, "api-key": KEY},
    ],
    ids=["helicone-auth", "authorization", "list", "x-api-key"],
)
async def test_the_first_credential_decides_whatever_stands_further_on(doors: Doors, headers: dict[str, str]) -> None:
    assert (await post(doors, SMALLEST, headers=headers)).status_code == 401
    answer = await post(doors, SMALLEST, f"/{KEY}/custom/v1/log", {"Authorization": "", "api-key": UNKNOWN_KEY})
    assert answer.status_code == 401


async def test_a_key_may_stand_first_in_the_path(doors: Doors) -> None:
    answer = await post(doors, SMALLEST, f"/{KEY}/custom/v1/log", {"Authorization": ""})
    assert answer.status_code == 200


async def test_request_ids(doors: Doors) -> None:
    upper = "019B76DA-AF6C-7C3E-8F7A-2F6D1C0B9E55"
    assert (await post(doors, SMALLEST, headers={"Helicone-Request-Id": upper})).headers["helicone-id"] == upper.lower()
    ids = {
        (await post(doors, SMALLEST, headers={"Helicone-Request-Id": "order-7"})).headers["helicone-id"] for _ in "12"
    }
    assert ids == {str(uuid5(REQUEST_ID_NAMESPACE, "order-7"))}
    assert decode(doors.publisher.records[-1]).properties == {"Helicone-Request-Id": "order-7"}


async def test_unicode_headers(doors: Doors) -> None:
    headers = {b"Helicone-Session-Name": "Zürich 🎿".encode(), b"Helicone-User-Id": b"\xe9va"}
    assert (await post(doors, SMALLEST, headers=headers)).status_code == 200
    event = decode(doors.publisher.records[0])
    assert (event.session_name, event.user_id) == ("Zürich 🎿", "éva")


async def test_text_bodies_travel_as_they_came(doors: Doors) -> None:
    body = b'{"providerRequest":{"url":"u"},"providerResponse":{"status":200,"json":{},"textBody":"Hi \\u00e9"}}'
    assert (await post(doors, body)).status_code == 200
    assert bytes(doors.publisher.records[0].response) == b'"Hi \\u00e9"'
    empty = changed("providerResponse.textBody", "")
    assert (await post(doors, empty)).status_code == 200
    assert b"temperature" in bytes(doors.publisher.records[1].response)


async def test_an_omitted_body_never_leaves_but_what_it_said_counts(doors: Doors) -> None:
    body = {
        "providerRequest": {"url": "u", "json": {"model": "gpt-4o", "messages": "secret question"}},
        "providerResponse": {
            "status": 500,
            "textBody": json.dumps(
                {
                    "model": "gpt-4o-2024",
                    "choices": "secret answer",
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.5},
                    "error": {"type": "server", "message": "broken"},
                }
            ),
        },
    }
    whole = await post(doors, body, "/oai/v1/log", {"Helicone-Request-Id": "one"})
    omit = {"Helicone-Omit-Request": "true", "Helicone-Omit-Response": "true", "Helicone-Request-Id": "one"}
    assert (await post(doors, body, "/oai/v1/log", omit)).headers["helicone-id"] == whole.headers["helicone-id"]
    assert b"secret" not in doors.publisher.published[1][1]
    first, second = (decode(record) for record in doors.publisher.records)
    assert bytes(doors.publisher.records[1].request) == b'{"model":"gpt-4o"}'
    assert bytes(doors.publisher.records[1].response) == b'{"model":"gpt-4o-2024"}'
    for name in ("kind", "model", "prompt_tokens", "completion_tokens", "cost_nanousd", "error_message", "is_error"):
        assert getattr(first, name) == getattr(second, name), name
    assert second.decoded_response_body is None
    assert (second.cost_nanousd, second.error_message) == (500_000_000, "broken")


async def test_faults_of_the_whole_body(doors: Doors) -> None:
    assert (await post(doors, b"{nonsense")).json()["error"] == "Invalid JSON: object keys must be strings (byte 1)"
    small = make_doors(helicone_body_bytes_max=100)
    large = await post(small, EXAMPLE)
    assert (large.status_code, large.json()["error"]) == (413, "Payload too large")
    doors.publisher.faults = [NotDurable()]
    lost = await post(doors, SMALLEST)
    assert (lost.status_code, lost.json()["error"]) == (503, "Event not stored, try again")
    assert lost.headers["retry-after"]
