"""Goal: each numbered rule of ingest.md section 14 holds, under its number.

Method: calls to the doors over a publisher in memory, and what the published records decode to.
"""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid5

import pytest

from ingest.decode.metadata import REQUEST_ID_NAMESPACE
from ingest.decode.record import decode
from ingest.decode.usage import Tokens, response_tokens
from ingest.errors import NotDurable, Overloaded, PublishError
from ingest.event import Event, from_us, new_event_id
from ingest.routes.door import wall_clock_us
from processors.session import SessionFold, measure
from tests.unit.ingest.doors import KEY, WRITER, Doors, make_doors
from tests.unit.ingest.logs import EXAMPLE, SMALLEST, changed, post

ROUTES = {"custom": "CUSTOM", "oai": "OPENAI", "anthropic": "ANTHROPIC", "googleapis": "GOOGLE"}
UUID_OF_VERSION = "019B76DA-AF6C-{}C3E-8F7A-2F6D1C0B9E55"


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def logged(doors: Doors, body: Any, headers: Any = None, path: str = "/custom/v1/log") -> Event:
    """The event that a log becomes."""
    answer = await post(doors, body, path, headers)
    assert (answer.status_code, answer.text) == (200, "ok"), answer.text
    event = decode(doors.publisher.records[-1])
    assert str(event.event_id) == answer.headers["helicone-id"]
    return event


async def logged_response(doors: Doors, response: dict[str, Any], request: Any = None, path: str = "oai") -> Event:
    body = {"providerRequest": {"url": "u", "json": request or {}}, "providerResponse": {"status": 200, **response}}
    return await logged(doors, body, path=f"/{path}/v1/log")


def decoded_body(event: Event) -> Any:
    assert event.decoded_response_body is not None
    return json.loads(event.decoded_response_body)


@pytest.mark.parametrize("route", ROUTES)
async def test_p_i_01_all_four_log_routes_stand_under_both_prefixes(doors: Doors, route: str) -> None:
    assert (await logged(doors, SMALLEST, path=f"/{route}/v1/log")).provider == ROUTES[route]
    # Under the prefix the custom route is told its provider.
    under_prefix = ROUTES[route] if route != "custom" else "OPENAI"
    assert (await logged(doors, SMALLEST, path=f"/v1/trace/{route}/v1/log")).provider == under_prefix


async def test_p_i_02_helicone_auth_alone_is_enough(doors: Doors) -> None:
    del doors.client.headers["Authorization"]
    await logged(doors, SMALLEST, {"Helicone-Auth": f"Bearer {KEY}"})


@pytest.mark.parametrize("name", ["Helicone-Auth", "helicone-auth", "Authorization", "X-Api-Key", "helicone_auth"])
async def test_p_i_03_a_credential_in_meta_has_no_effect_and_is_not_kept(doors: Doors, name: str) -> None:
    other = "sk-pathline-zzzzzzz-bbbbbbb-ccccccc-ddddddd"
    body = changed("providerRequest.meta", {name: f"Bearer {other}"})
    await logged(doors, body)
    assert doors.publisher.records[0].project_id == WRITER.project_id
    assert other.encode() not in doors.publisher.published[0][1]
    inside = changed("providerRequest.meta", {name: f"Bearer {KEY}"})
    assert (await post(doors, inside, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize("key", ["sk-helicone-zzzzzzz-bbbbbbb-ccccccc-ddddddd", "sk-zzzzzzz-bbbbbbb-ccccccc-ddddddd"])
async def test_p_i_04_an_unknown_key_is_401(doors: Doors, key: str) -> None:
    answer = await post(doors, SMALLEST, headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "No API key found")
    assert doors.publisher.published == []


@pytest.mark.parametrize("name", ["Zürich", "日本 🎿", "\u05e9\u05dc\u05d5\u05dd"])
async def test_p_i_05_utf8_is_taken_in_headers_and_meta(doors: Doors, name: str) -> None:
    for headers, meta in (({b"Helicone-Session-Name": name.encode()}, {}), ({}, {"Helicone-Session-Name": name})):
        event = await logged(doors, changed("providerRequest.meta", meta), headers)
        assert event.session_name == name
    latin = await logged(doors, SMALLEST, {b"Helicone-User-Id": b"J\xf6rg"})
    assert latin.user_id == "Jörg"


@pytest.mark.parametrize("version", "12345678")
async def test_p_i_06_request_ids_of_every_version_are_kept(doors: Doors, version: str) -> None:
    sent = UUID_OF_VERSION.format(version)
    event = await logged(doors, SMALLEST, {"Helicone-Request-Id": sent})
    assert str(event.event_id) == sent.lower()
    assert event.properties == {}


@pytest.mark.parametrize("sent", ["order-7", UUID_OF_VERSION.format(9), UUID_OF_VERSION.format(0), "x" * 4096])
async def test_p_i_06_another_text_becomes_a_stable_id(doors: Doors, sent: str) -> None:
    events = [await logged(doors, SMALLEST, {"Helicone-Request-Id": sent}) for _ in range(2)]
    assert {event.event_id for event in events} == {uuid5(REQUEST_ID_NAMESPACE, sent)}
    assert events[0].properties == {"Helicone-Request-Id": sent}


async def test_p_i_07_copies_are_one_event(doors: Doors) -> None:
    """The door's part: same answer, key, id and start. The store counts it once: tests/integration/test_store.py."""
    headers = {"Helicone-Request-Id": UUID_OF_VERSION.format(4), "Helicone-Session-Id": "s"}
    first, second = [await logged(doors, EXAMPLE, headers) for _ in range(2)]
    assert (first.event_id, first.started_at) == (second.event_id, second.started_at)
    [(one, _), (other, _)] = doors.publisher.published
    assert one == other


async def test_p_i_07_a_copy_without_a_time_has_the_same_start_day(doors: Doors) -> None:
    """A UUIDv7 of an earlier day says when: the day does not move with the day of receipt."""
    two_days_ago_us = wall_clock_us() - 2 * 86_400_000_000
    event = await logged(doors, SMALLEST, {"Helicone-Request-Id": new_event_id(two_days_ago_us)})
    assert event.started_at == event.ended_at == from_us(two_days_ago_us // 1000 * 1000)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1.5, "1.5"),
        (True, "true"),
        (None, None),
        ({"a": [1, "b"]}, '{"a":[1,"b"]}'),
        ([1, 2], "[1,2]"),
        (" x\t", "x"),
        ("", None),
    ],
)
async def test_p_i_08_meta_takes_any_value(doors: Doors, value: Any, kept: str | None) -> None:
    meta = {"Helicone-Property-Odd": value, "bad\nname: ü": value, "": value, "model_info": value}
    event = await logged(doors, changed("providerRequest.meta", meta))
    assert event.properties == ({} if kept is None else {"odd": kept})


async def test_p_i_08_an_object_is_no_session_id(doors: Doors) -> None:
    assert (await logged(doors, changed("providerRequest.meta", {"Helicone-Session-Id": {"a": 1}}))).session_id is None


async def test_p_i_09_litellms_spellings_are_read_and_exact_ones_win(doors: Doors) -> None:
    meta = {
        "helicone_session_id": "spelled",
        "Helicone-Session-Id": "exact",
        "helicone_session_path": "/p",
        "helicone_session_name": "n",
        "helicone_user_id": "u",
        "helicone_request_id": UUID_OF_VERSION.format(4),
        "helicone_property_team": "t",
    }
    event = await logged(doors, changed("providerRequest.meta", meta))
    assert (event.session_id, event.path, event.session_name, event.user_id) == ("exact", "/p", "n", "u")
    assert str(event.event_id) == meta["helicone_request_id"].lower()
    assert event.properties == {"team": "t"}


async def test_p_i_10_a_session_is_named_by_its_earliest_event_that_has_a_name(doors: Doors) -> None:
    """The pure part: the fold. That the stored row is the fold's, in any order: tests/integration/test_store.py."""
    events = []
    for second, name in ((3, "late"), (1, ""), (2, "early")):
        start = {"seconds": 1767225600 + second, "milliseconds": 0}
        body = changed("timing", {"startTime": start, "endTime": start})
        events.append(await logged(doors, body, {"Helicone-Session-Id": "s", "Helicone-Session-Name": name}))
    for order in (events, events[::-1]):
        fold = SessionFold()
        for event in order:
            fold.add(event, measure(event))
        assert (fold.session_id, fold.name) == ("s", "early")
    assert len({key for key, _ in doors.publisher.published}) == 1


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Helicone-Session-Id": "x" * 1025}, "Invalid Helicone-Session-Id: longer than 1024 bytes"),
        ({b"Helicone-Session-Path": "ü".encode() * 513}, "Invalid Helicone-Session-Path: longer than 1024 bytes"),
        ({"Helicone-Session-Name": "x" * 1025}, "Invalid Helicone-Session-Name: longer than 1024 bytes"),
        ({"Helicone-User-Id": "x" * 1025}, "Invalid Helicone-User-Id: longer than 1024 bytes"),
        ({"Helicone-Property-A": "x" * 16385}, "Invalid property 'a': longer than 16384 bytes"),
        (
            {"Helicone-Property-" + "a" * 257: "x"},
            f"Invalid property name '{'a' * 32}…': longer than 256 bytes",
        ),
        (
            {f"Helicone-Property-{number}": "x" for number in range(201)},
            "Too many properties: 201, at most 200",
        ),
    ],
    ids=["session id", "path", "name", "user", "property value", "property name", "properties"],
)
async def test_p_i_11_a_limit_refuses_with_a_text(doors: Doors, headers: Any, text: str) -> None:
    answer = await post(doors, SMALLEST, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, text)
    assert doors.publisher.published == []


async def test_p_i_11_at_a_limit_nothing_is_cut(doors: Doors) -> None:
    headers = {f"Helicone-Property-{number}": "x" * 64 for number in range(199)}
    headers |= {"Helicone-Session-Id": "x" * 1024, "Helicone-Property-" + "a" * 256: "x" * 16384}
    event = await logged(doors, SMALLEST, headers)
    assert event.session_id == "x" * 1024
    assert (len(event.properties), len(event.properties["a" * 256])) == (200, 16384)
    assert event.flags == []


async def test_p_i_11_a_body_over_its_limit_is_413() -> None:
    answer = await post(make_doors(helicone_body_bytes_max=1024), changed("providerRequest.json", "x" * 1024))
    assert (answer.status_code, answer.json()["error"]) == (413, "Payload too large")


async def test_p_i_12_without_timing_there_is_no_latency(doors: Doors) -> None:
    event = await logged(doors, changed("timing", ...))
    assert event.started_at == event.ended_at
    assert event.received_at - event.started_at < timedelta(milliseconds=1)


CHUNKS = [
    {"model": "gpt-4o", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]},
    {"choices": [{"index": 0, "delta": {"content": "lo"}}]},
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
]
"""A chat of three chunks."""


async def test_p_i_13_streamed_data_of_several_chunks_is_folded(doors: Doors) -> None:
    event = await logged_response(doors, {"json": {"streamed_data": CHUNKS}})
    assert decoded_body(event)["choices"][0]["message"]["content"] == "Hello"
    assert (event.model, event.prompt_tokens, event.completion_tokens) == ("gpt-4o", 9, 2)


@pytest.mark.parametrize("prefix", ["", "data: ", "data:"])
@pytest.mark.parametrize("request_body", [{}, {"stream": False}, {"stream": True}])
async def test_p_i_14_a_stream_is_recognised_by_its_content(doors: Doors, prefix: str, request_body: Any) -> None:
    text = ": hi\nretry: 5\n\n" + "".join(f"{prefix}{json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n"
    event = await logged_response(doors, {"textBody": text}, request_body)
    assert decoded_body(event)["choices"][0]["message"]["content"] == "Hello"
    cut = await logged_response(doors, {"textBody": text + prefix + '{"cut'}, request_body)
    assert decoded_body(cut)["streamed_data"][:-1] == CHUNKS
    assert cut.completion_tokens == 2


@pytest.mark.parametrize("text", ["Hello", "<html>", 'Traceback:\n  x\n\n{"a": 1}', "data: not json"])
async def test_p_i_15_plain_text_stays_the_text(doors: Doors, text: str) -> None:
    event = await logged_response(doors, {"textBody": text})
    assert event.decoded_response_body is None, "what was received is the body"
    assert json.loads(bytes(doors.publisher.records[0].response)) == text


@pytest.mark.parametrize("fault", [NotDurable(), Overloaded()], ids=["not acknowledged", "no room"])
async def test_p_i_16_200_only_when_durable(doors: Doors, fault: PublishError | Overloaded) -> None:
    """The door's part: what the broker says decides. The broker and its outage: tests/faults/test_durable_2xx.py."""
    if isinstance(fault, PublishError):
        doors.publisher.faults = [fault]
    else:
        doors.publisher.refusal = fault
    answer = await post(doors, SMALLEST)
    assert (answer.status_code, answer.json()["error"]) == (503, fault.text)
    assert int(answer.headers["retry-after"]) > 0
    assert "helicone-id" not in answer.headers


@pytest.mark.parametrize(
    ("request_body", "response", "label"),
    [
        ({"_type": "data", "name": "load"}, {"_type": "data"}, "data:load"),
        ({"_type": "data"}, {"_type": "data", "name": "load"}, "data:load"),
        ({"_type": "tool"}, {"_type": "tool", "toolName": "t"}, "tool:t"),
        ({"_type": "tool", "toolName": "t"}, {"_type": "unknown", "toolName": "unknown"}, "tool:t"),
        ({"_type": "data", "name": 5}, {"_type": "data", "name": ""}, "data:unknown"),
    ],
)
async def test_p_i_17_a_name_is_taken_from_the_other_side(
    doors: Doors, request_body: Any, response: Any, label: str
) -> None:
    assert (await logged_response(doors, {"json": response}, request_body)).model == label


async def test_p_i_18_a_failed_data_step_is_an_error(doors: Doors) -> None:
    step = {"_type": "data", "name": "load"}
    failed = await logged_response(doors, {"json": {**step, "status": "error", "message": "no disk"}}, step)
    assert (failed.status, failed.is_error, failed.error_message) == (200, True, "no disk")
    assert not (await logged_response(doors, {"json": {**step, "status": "success"}}, step)).is_error
    typed = {"_type": "tool", "toolName": "t"}
    assert (await logged_response(doors, {"json": typed, "status": 500}, typed)).is_error


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 5}},
            Tokens(9, 3, reasoning_tokens=5),
        ),
        (
            {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5},
            Tokens(3, 1, cache_read_tokens=4, cache_write_tokens=5),
        ),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}},
            Tokens(5, cache_write_tokens=4),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "completion_tokens_details": {"accepted_prediction_tokens": 3},
            },
            Tokens(9, 8),
        ),
    ],
    ids=["reasoning on CUSTOM", "cache creation beside reads", "cache writes subtracted", "predictions once"],
)
async def test_p_i_19_no_tokens_are_lost_or_counted_twice(doors: Doors, usage: Any, tokens: Tokens) -> None:
    assert response_tokens({"usage": usage}, []) == tokens
    event = await logged_response(doors, {"json": {"usage": usage}}, path="custom")
    assert tokens == Tokens(*(getattr(event, name) for name in Tokens._fields))


@pytest.mark.parametrize(("cost", "nanousd"), [(0.25, 250_000_000), (0, 0), (-1, 500_000_000), ("1", 500_000_000)])
async def test_p_i_20_a_reported_cost_is_used(doors: Doors, cost: Any, nanousd: int) -> None:
    event = await logged_response(doors, {"json": {"usage": {"prompt_tokens": 1, "cost": 0.5}}, "cost": cost})
    assert event.cost_nanousd == nanousd
