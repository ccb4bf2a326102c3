"""Goal: nothing that a project's rules take reaches the publisher or a log, whichever place of an event it stood in."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from infra.project_settings import ProjectSettings, parse_settings
from ingest.decode.record import decode
from tests.unit.ingest.doors import WRITER, Doors, make_doors
from tests.unit.ingest.logs import EXAMPLE, SMALLEST, changed, post

MARKER = "MARKER-5f3a"
RULES = json.dumps(
    {"masking": [{"key": "password"}, {"builtin": "email"}, {"pattern": "(?i)MARKER-[0-9a-f]+"}, {"builtin": "jwt"}]}
)
ID = "3b241101-e2bb-4255-8caf-4136c566a962"
NATIVE = {
    "event_id": ID,
    "session_id": "s",
    "kind": "llm",
    "model": "m",
    "started_at": 1767225600.25,
    "error": {"type": "t", "message": "x"},
    "usage": {"prompt_tokens": 3},
    "properties": {"a": "b", "n": 1.50},
    "request": {"messages": [{"content": "hello"}]},
    "response": {"n": 1.0},
}


def masking_doors(settings: str | ProjectSettings = RULES) -> Doors:
    doors = make_doors()
    parsed = parse_settings(settings) if isinstance(settings, str) else settings
    doors.keys.writer = replace(WRITER, settings=parsed)
    return doors


@pytest.fixture
def doors() -> Doors:
    return masking_doors()


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """No log line of any test here holds the marker."""
    with capture_logs() as lines:
        yield
    assert MARKER not in repr(lines)


def published(doors: Doors) -> str:
    text = b" ".join(key + value for key, value in doors.publisher.published)
    assert text, "nothing was published"
    return text.decode(errors="replace")


NATIVE_PLACES: dict[str, Any] = {
    **{
        name: MARKER
        for name in (
            "session_id",
            "session_name",
            "path",
            "user_id",
            "name",
            "provider",
            "model",
            "trace_id",
            "span_id",
            "parent_span_id",
        )
    },
    "error": {"type": MARKER, "message": f"at {MARKER}"},
    "usage": {"prompt_tokens": 3, "note": MARKER},
    "properties": {"a": MARKER, MARKER: "b", "c": json.dumps({"password": "hidden", "d": MARKER})},
    "request": {"password": {"x": ["hidden"]}, "deep": [[{"y": MARKER, MARKER: 1}]]},
    "response": f"text {MARKER}",
}


@pytest.mark.parametrize("field", NATIVE_PLACES)
@pytest.mark.parametrize("form", ["one", "array", "lines", "nul"])
async def test_no_field_of_an_event_leaves_with_the_marker(doors: Doors, field: str, form: str) -> None:
    event = json.dumps(NATIVE | {field: NATIVE_PLACES[field]})
    if form == "nul":
        event = event.replace(MARKER, MARKER[:4] + "\\u0000" + MARKER[4:])
    body = f"[{event},{json.dumps(NATIVE)}]" if form == "array" else event
    headers = {"content-type": "application/x-ndjson" if form == "lines" else "application/json"}
    answer = await post(doors, body.encode(), "/v1/events", headers)
    assert (answer.status_code, answer.json()["rejected"]) == (200, 0)
    assert MARKER not in published(doors)
    assert "hidden" not in published(doors)
    assert "[masked" in published(doors)
    assert MARKER not in repr([decode(record) for record in doors.publisher.records])


async def test_an_event_without_a_match_is_published_as_without_rules(doors: Doors) -> None:
    plain = make_doors()
    for one in (doors, plain):
        one.publisher.published.clear()
        one.publisher.topics.clear()
        await post(one, [NATIVE], "/v1/events")
    mine, other = doors.publisher.records[0], plain.publisher.records[0]
    assert (mine.content, mine.request, mine.response) == (other.content, other.request, other.response)


async def test_numbers_keep_their_text_beside_what_is_masked(doors: Doors) -> None:
    body = b'{"response":{"a":1.50,"b":12345678901234567890123,"c":"MARKER-1", "d" : 1e400}}'
    await post(doors, body, "/v1/events")
    text = b'{"a":1.50,"b":12345678901234567890123,"c":"[masked]", "d" : 1e400}'
    assert bytes(doors.publisher.records[0].response) == text


async def test_copies_stay_one_event_and_sessions_apart(doors: Doors) -> None:
    events = [NATIVE | {"session_id": f"of {name}@x.example"} for name in ("alice", "alice", "bob")]
    for event in events:
        await post(doors, event, "/v1/events")
    (key, _), (same_key, _), (other_key, _) = doors.publisher.published
    first, copy, other = doors.publisher.records
    assert key == same_key != other_key
    assert first.event_id == copy.event_id == ID
    assert (first.content, first.session_id) == (copy.content, copy.session_id)
    assert first.session_id != other.session_id


async def test_the_end_of_a_session_names_it_as_its_events_do(doors: Doors) -> None:
    await post(doors, NATIVE | {"session_id": "s MARKER-1"}, "/v1/events")
    end = {"outcome": "failed", "reason": f"because of {MARKER}"}
    answer = await post(doors, end, "/v1/sessions/s%20MARKER-1/end")
    assert answer.status_code == 200
    event, ended = doors.publisher.records
    assert event.session_id == ended.session_id
    assert decode(ended).outcome_reason == "because of [masked]"
    assert MARKER not in published(doors)


async def test_limits_count_for_what_is_published(doors: Doors) -> None:
    token = f"eyJhbGciOiJIUzI1NiJ9.eyJ{'a' * 2000}.x"
    answer = await post(doors, NATIVE | {"path": f"/{token}"}, "/v1/events")
    assert answer.status_code == 200
    assert decode(doors.publisher.records[0]).path == "/[masked:jwt]"


HELICONE_PLACES: dict[str, Any] = {
    "providerRequest.url": f"https://x.example/{MARKER}",
    "providerRequest.json": {"_type": "tool", "toolName": MARKER, "input": {"password": "hidden", "q": MARKER}},
    "providerRequest.meta": {
        "Helicone-Property-A": MARKER,
        f"Helicone-Property-{MARKER}": "x",
        "helicone_property_b": {"password": "hidden", "d": [MARKER]},
        "Helicone-Property-Password": "hidden",
        "Helicone-Session-Id": MARKER,
        "Helicone-Session-Name": MARKER,
        "helicone_session_path": f"/{MARKER}",
        "Helicone-User-Id": MARKER,
        "Helicone-Request-Id": MARKER,
        "Helicone-Model-Override": MARKER,
        "Helicone-Prompt-Id": MARKER,
        "X-Other": MARKER,
    },
    "providerResponse.json": {"error": {"message": MARKER, "type": MARKER}, "model": MARKER, "password": "hidden"},
    "providerResponse.textBody": f"plain {MARKER}",
    "providerResponse.headers": {"a": MARKER},
    "providerResponse.cost": MARKER,
    "timing.timeToFirstToken": {"a": MARKER},
    "provider": MARKER,
}


@pytest.mark.parametrize("place", HELICONE_PLACES)
@pytest.mark.parametrize("omit", ["", "Helicone-Omit-Request", "Helicone-Omit-Response"])
@pytest.mark.parametrize("status", [200, 500])
async def test_no_place_of_a_log_leaves_with_the_marker(doors: Doors, place: str, omit: str, status: int) -> None:
    body = changed("providerResponse.status", status, changed(place, HELICONE_PLACES[place]))
    answer = await post(doors, body, "/v1/trace/custom/v1/log", {omit: "true"} if omit else {})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert MARKER.lower() not in published(doors).lower()
    assert "hidden" not in published(doors)
    assert MARKER not in repr(decode(doors.publisher.records[0]))


async def test_no_header_leaves_with_the_marker(doors: Doors) -> None:
    headers = {
        "Helicone-Session-Id": MARKER,
        "Helicone-Session-Name": MARKER,
        "Helicone-Session-Path": f"/{MARKER}",
        "Helicone-User-Id": MARKER,
        "Helicone-Request-Id": MARKER,
        "Helicone-Model-Override": MARKER,
        "Helicone-Property-Plan": f"to {MARKER}",
        "Helicone-Property-Password": "hidden",
        f"Helicone-Property-{MARKER}": "x",
        "Helicone-Omit-Request": MARKER,
        "X-Stripe-Customer-Id": MARKER,
        "Helicone-Cache-Control": MARKER,
    }
    answer = await post(doors, SMALLEST, headers=headers)
    assert answer.status_code == 200
    assert MARKER.lower() not in published(doors).lower()
    assert "hidden" not in published(doors)
    properties = decode(doors.publisher.records[0]).properties
    assert properties["password"] == "[masked]"  # noqa: S105
    assert properties["plan"] == "to [masked]"


def sse(*chunks: Any) -> str:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


CHAT = [{"model": "m", "choices": [{"index": 0, "delta": {"content": part}}]} for part in ("to MAR", "KER-5", "f3a!")]
ANTHROPIC = [
    {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "t"}},
    *(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}}
        for part in ('{"pass', 'word": "hid', 'den"}')
    ),
]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"textBody": sse(*CHAT)}, "to [masked]!"),
        ({"json": {"streamed_data": CHAT}}, "to [masked]!"),
        ({"textBody": sse(*ANTHROPIC)}, '"input":{"password":"[masked]"}'),
        ({"json": {"streamed_data": ANTHROPIC}}, '"input":{"password":"[masked]"}'),
        ({"textBody": json.dumps({"password": "hidden", "model": "m"})}, '"password": "[masked]"'),
        ({"textBody": sse({"of": "no known form", "x": MARKER})}, '"x": "[masked]"'),
        ({"textBody": f'no JSON but "password": "hidden" and {MARKER}'}, r"\"password\": \"[masked]\" and [masked]"),
    ],
)
async def test_a_stream_leaves_only_folded_and_masked(doors: Doors, response: Any, expected: str) -> None:
    body = changed("providerResponse", {"status": 200, **response})
    answer = await post(doors, body, "/anthropic/v1/log" if "hid" in repr(response) else "/oai/v1/log")
    assert answer.status_code == 200
    for part in ("KER-5", MARKER, "hid"):
        assert part not in published(doors).replace("[masked]", "")
    assert expected in bytes(doors.publisher.records[0].response).decode()
    decode(doors.publisher.records[0])


async def test_a_folded_stream_decodes_as_it_would_have_without_rules(doors: Doors) -> None:
    plain = make_doors()
    chunks = [*CHAT, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]
    for chunk in CHAT:
        assert MARKER not in json.dumps(chunk)
    error = [{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}]
    for path, one in (("/oai/v1/log", chunks), ("/anthropic/v1/log", error)):
        for target in (doors, plain):
            target.publisher.published.clear()
            target.publisher.topics.clear()
            await post(target, changed("providerResponse", {"status": 200, "textBody": sse(*one)}), path)
        mine, other = (decode(target.publisher.records[0]) for target in (doors, plain))
        for name in ("status", "is_error", "error_type", "model", "prompt_tokens", "completion_tokens", "kind"):
            assert getattr(mine, name) == getattr(other, name), name


async def test_a_key_rule_takes_fields_and_bodies_by_name() -> None:
    names = ("user_id", "request", "properties", "message", "session_id", "stripe_customer_id")
    doors = masking_doors(json.dumps({"masking": [{"key": name} for name in names]}))
    await post(doors, NATIVE | {"user_id": "hidden", "request": {"a": "hidden"}, "session_id": "hidden"}, "/v1/events")
    await post(doors, EXAMPLE, headers={"Helicone-User-Id": "hidden", "X-Stripe-Customer-Id": "hidden"})
    event, log = (decode(record) for record in doors.publisher.records)
    assert (event.user_id, event.error_message, event.properties) == ("[masked]", "[masked]", {})
    assert event.session_id is not None
    assert event.session_id.startswith("[masked:")
    assert bytes(doors.publisher.records[0].request) == b'"[masked]"'
    assert (log.user_id, log.properties["stripe_customer_id"]) == ("[masked]", "[masked]")
    assert "hidden" not in published(doors)


async def test_a_project_without_rules_is_not_masked() -> None:
    doors = masking_doors("{}")
    await post(doors, NATIVE | {"user_id": MARKER}, "/v1/events")
    assert decode(doors.publisher.records[0]).user_id == MARKER
