"""Goal: rows of ingest.md that no other test of this folder holds, each case named for its section and row.

Method: calls over a publisher in memory. The rest: test_helicone_headers.py (sections 2 and 3), test_helicone_checks.py
(5, 6 and 8), test_decode.py (7 and 9), test_usage.py (10), test_typed_log.py (11), test_better_than_helicone.py (14).
"""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid5

import pytest

from ingest.decode import streams
from ingest.decode.metadata import REQUEST_ID_NAMESPACE
from ingest.decode.record import decode
from ingest.event import default_start_us, normalise_path
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.logs import RECEIVED_AT_US, SMALLEST, body_of, changed, log, post, stream

DAY_US = 86_400_000_000


@pytest.fixture
def doors() -> Doors:
    return make_doors()


@pytest.mark.parametrize("path", ["/custom/v1/log", "/v1/trace/custom/log/typed", "/v1/events", "/v1/sessions/s/end"])
async def test_section_1_options(doors: Doors, path: str) -> None:
    asked = {"Access-Control-Request-Headers": "helicone-user-id, Helicone-Property-Any, x-other", "Authorization": ""}
    answer = await doors.client.options(path, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-methods"] == "POST, GET, PUT, DELETE"
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert allowed >= {"Content-Type", "Authorization", "Helicone-Auth", "x-api-key"}
    assert allowed >= {"helicone-user-id", "Helicone-Property-Any"}
    assert "x-other" not in allowed


async def test_section_1_unknown_paths_and_healthcheck(doors: Doors) -> None:
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        answer = await doors.client.request(method, "/custom/v2/log")
        assert (answer.status_code, answer.json()) == (404, {"error": "invalid path", "code": "not_found"})
    assert (await doors.client.get("http://ingest//healthcheck")).status_code == 200


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("variant c", "019b76da-af6c-7c3e-cf7a-2f6d1c0b9e55"),
        ("no dashes", "019b76daaf6c7c3e8f7a2f6d1c0b9e55"),
        ("nil", "00000000-0000-0000-0000-000000000000"),
        ("max", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ],
)
async def test_section_3_1_what_is_no_such_uuid(doors: Doors, section: str, text: str) -> None:
    answer = await post(doors, SMALLEST, headers={"Helicone-Request-Id": text})
    assert answer.headers["helicone-id"] == str(uuid5(REQUEST_ID_NAMESPACE, text)), section


@pytest.mark.parametrize("variant", "89abAB")
async def test_section_3_1_variants(doors: Doors, variant: str) -> None:
    sent = f"019b76da-af6c-7c3e-{variant}f7a-2f6d1c0b9e55"
    assert (await post(doors, SMALLEST, headers={"Helicone-Request-Id": sent})).headers["helicone-id"] == sent.lower()


@pytest.mark.parametrize(
    ("sent", "path"),
    [(None, "/"), ("", "/"), ("a", "/a"), ("/a//B/", "/a/B"), ("///", "/"), ("/a b/ü", "/a b/ü")],
)
def test_section_4_the_path_of_roll_ups(sent: str | None, path: str) -> None:
    assert normalise_path(sent) == path


async def test_section_4_no_session_id_is_no_session(doors: Doors) -> None:
    await post(doors, SMALLEST, headers={"Helicone-Session-Path": "/a", "Helicone-Session-Name": "n"})
    event = decode(doors.publisher.records[0])
    assert (event.session_id, event.path, event.session_name) == (None, "/a", "n")


def uuid_at(version: int, us: int) -> str:
    """A UUID with this time in it."""
    if version == 7:
        text = f"{us // 1_000:012x}7abc8abc0123456789ab"
    else:
        ticks = us * 10 + 0x01B21DD213814000
        low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48
        text = f"{low:08x}{middle:04x}1{high:03x}" if version == 1 else f"{ticks >> 12:012x}6{ticks & 0xFFF:03x}"
        text += "8abc0123456789ab"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@pytest.mark.parametrize("version", [1, 6, 7])
@pytest.mark.parametrize(
    ("away_us", "is_used"),
    [(0, True), (-399 * DAY_US, True), (-401 * DAY_US, False), (DAY_US - 1_000, True), (DAY_US + 1_000, False)],
    ids=["now", "399 d ago", "401 d ago", "in a day", "in more than a day"],
)
def test_section_5_the_time_in_a_request_id(version: int, away_us: int, is_used: bool) -> None:
    at_us = RECEIVED_AT_US + away_us
    assert default_start_us(uuid_at(version, at_us), RECEIVED_AT_US) == (at_us if is_used else RECEIVED_AT_US)


def test_section_5_other_versions_have_no_time() -> None:
    assert default_start_us("3b241101-e2bb-4255-8caf-4136c566a962", RECEIVED_AT_US) == RECEIVED_AT_US


@pytest.mark.parametrize(
    ("row", "chunks", "member", "value"),
    [
        ("completions", [{"choices": [{"text": part}]} for part in ("He", "y")], "text", "Hey"),
        (
            "reasoning",
            [{"choices": [{"index": 1, "delta": {"reasoning": part}}]} for part in ("a", "b")],
            "message",
            {"reasoning": "ab"},
        ),
        (
            "function_call",
            [
                {"choices": [{"delta": {"function_call": {"name": "f", "arguments": "{"}}}]},
                {"choices": [{"delta": {"function_call": {"arguments": "}"}}}]},
            ],
            "message",
            {"function_call": {"name": "f", "arguments": "{}"}},
        ),
    ],
)  # fmt: skip
def test_section_7_openai_chunks(row: str, chunks: list[Any], member: str, value: Any) -> None:
    assert body_of(log({}, {"streamed_data": chunks}))["choices"][0][member] == value, row


def test_section_7_responses_without_a_completed_one_take_the_last() -> None:
    chunks = [
        {"type": "response.created", "response": {"model": "a"}},
        {"type": "response.in_progress", "response": {"model": "b", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "response.output_text.delta", "delta": "x"},
    ]
    event = log({}, {"streamed_data": chunks})
    assert (event.model, event.prompt_tokens, event.completion_tokens) == ("b", 3, 1)


def test_section_7_an_error_chunk_is_the_body_on_the_anthropic_route_alone() -> None:
    text = 'data: {"type":"message_start","message":{"model":"c"}}\n\ndata: {"type":"error","error":{"type":"over"}}\n'
    failed, other = stream(text, provider="ANTHROPIC"), stream(text, provider="CUSTOM")
    assert (body_of(failed), failed.status) == ({"type": "error", "error": {"type": "over"}}, 500)
    assert (body_of(other)["model"], other.status) == ("c", 200)


def test_section_7_chunks_beside_the_fold_only_where_both_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [{"choices": [{"delta": {"content": "x" * 50}}]}]
    monkeypatch.setattr(streams, "FOLDED_BYTES_MAX", 200)
    assert "streamed_data" not in body_of(log({}, {"streamed_data": chunks}))


@pytest.mark.parametrize(
    ("text", "is_stream"),
    [
        ('event: a\nid: 1\nretry: 5\n: note\n\ndata:{"a":1}\r\ndata: [DONE]\n', True),
        ('{"a":1}\n{"a":2}', True),
        ("data: [DONE]\n", False),
        ('{"a":1}\nprose\n{"a":2}', False),
        ("event: a\nid: 1\n", False),
        ('data: "text"\n', False),
    ],
)
def test_section_7_rule_4_what_is_a_stream(text: str, is_stream: bool) -> None:
    assert (stream(text).decoded_response_body is not None) is is_stream


async def test_section_8_credentials_come_before_the_body(doors: Doors) -> None:
    small = make_doors(helicone_body_bytes_max=1_024)
    for body in (b"x" * 2_000, b"{"):
        assert (await post(small, body, headers={"Authorization": "Bearer no"})).status_code == 401
    # Too large comes before not JSON.
    assert (await post(small, b"{" * 2_000)).status_code == 413


MODELS: list[tuple[str, dict[str, Any]]] = [
    ("override", {}),
    ("model", {"model": "model"}),
    ("body.model", {"body": {"model": "body.model"}}),
    ("body.modelVersion", {"body": {"modelVersion": "body.modelVersion"}}),
    ("modelVersion", {"modelVersion": "modelVersion"}),
    ("original", {"providerMetadata": {"gateway": {"routing": {"originalModelId": "original"}}}}),
    ("request", {}),
    ("in-url", {}),
]


@pytest.mark.parametrize("first", range(len(MODELS)), ids=[name for name, _ in MODELS])
async def test_section_9_the_precedence_of_models(doors: Doors, first: int) -> None:
    response: dict[str, Any] = {}
    for _, members in reversed(MODELS[first:]):
        response = {**response, **members, "body": {**response.get("body", {}), **members.get("body", {})}}
    body = {
        "providerRequest": {"url": "https://x/models/in-url:go", "json": {"model": "request" if first <= 6 else ""}},
        "providerResponse": {"status": 200, "json": response},
    }
    headers = {"Helicone-Model-Override": "override"} if first == 0 else {}
    assert (await post(doors, body, headers=headers)).status_code == 200
    event = decode(doors.publisher.records[0])
    assert event.model == MODELS[first][0]
    assert event.request_model == ("request" if first <= 6 else None)
    assert event.response_model == (MODELS[max(first, 1)][0] if first <= 5 else None)


async def test_section_13_an_ordinary_call_that_streams(doors: Doors) -> None:
    first = {"role": "assistant", "content": "Hel"}
    text = "".join(
        f"data: {json.dumps(chunk)}\n\n"
        for chunk in (
            {"model": "gpt-4o-mini", "choices": [{"index": 0, "delta": first}]},
            {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}},
        )
    )
    body = {
        "providerRequest": {
            "url": "https://api.openai.com/v1",
            "json": {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Hi"}]},
            "meta": {"helicone_session_id": "s-1"},
        },
        "providerResponse": {"status": 200, "headers": {}, "textBody": text + "data: [DONE]\n"},
        "timing": {
            "startTime": {"seconds": 1767225600, "milliseconds": 0},
            "endTime": {"seconds": 1767225601, "milliseconds": 0},
            "timeToFirstToken": 150,
        },
    }
    assert (await post(doors, body, "/oai/v1/log")).text == "ok"
    event = decode(doors.publisher.records[0])
    assert (event.kind, event.model, event.provider, event.session_id) == ("llm", "gpt-4o-mini", "OPENAI", "s-1")
    assert (event.prompt_tokens, event.completion_tokens, event.time_to_first_token_us) == (9, 2, 150_000)
    assert event.ended_at - event.started_at == timedelta(seconds=1)
    [choice] = body_of(event)["choices"]
    assert (choice["message"], choice["finish_reason"]) == ({"role": "assistant", "content": "Hello"}, "stop")


async def test_section_12_what_the_python_helper_adds_is_no_type(doors: Doors) -> None:
    """It overwrites `_type` and `toolName` of every ordinary response, and sends `textBody: null` beside a dict."""
    response = {"_type": "unknown", "toolName": "unknown", "model": "m", "status": "error"}
    body = changed("providerResponse.textBody", None, changed("providerResponse.json", response))
    body = changed("providerRequest.json", {"model": "asked"}, body)
    await post(doors, body)
    event = decode(doors.publisher.records[0])
    assert (event.kind, event.model, event.is_error) == ("llm", "m", False)
