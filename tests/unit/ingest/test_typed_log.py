"""Goal: the strict log route answers what section 11 says, fault by fault. Method: its form with one member changed."""

from typing import Any

import pytest

from ingest.decode.record import decode
from ingest.typed_log import FIELDS_NAMED_MAX, VALUE_BYTES_MAX
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.logs import EXAMPLE, changed, post

PATH = "/v1/trace/custom/log/typed"
TIMING = {"startTime": "2026-01-01T00:00:00Z", "endTime": "1767225601500", "timeToFirstToken": 150}
TYPED = {**EXAMPLE, "timing": TIMING}
"""The example with times as texts."""


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def test_a_log_that_has_the_form_is_a_log(doors: Doors) -> None:
    answer = await post(doors, TYPED | {"provider": "Groq"}, PATH)
    assert (answer.status_code, answer.text) == (200, "ok")
    event = decode(doors.publisher.records[0])
    assert str(event.event_id) == answer.headers["helicone-id"]
    assert (event.provider, event.model, event.time_to_first_token_us) == ("GROQ", "tool:weather_api", 150_000)
    assert (event.ended_at - event.started_at).total_seconds() == 1.5


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("timing", ...),
        ("timing", None),
        ("timing.timeToFirstToken", ...),
        ("timing.timeToFirstToken", None),
        ("providerRequest.json", {}),
        ("providerRequest.meta", {}),
        ("providerResponse.json", {}),
        ("providerResponse", {"status": -1, "headers": {}, "textBody": "late"}),
        ("provider", None),
    ],
)
async def test_what_the_form_leaves_open(doors: Doors, path: str, value: Any) -> None:
    assert (await post(doors, changed(path, value, TYPED), PATH)).status_code == 200


@pytest.mark.parametrize(
    ("path", "value", "field", "message"),
    [
        ("providerRequest", None, "providerRequest", "providerRequest is required"),
        ("providerResponse", 0, "providerResponse", "providerResponse is required"),
        ("providerRequest.url", "", "providerRequest.url", "url must be a non-empty string"),
        ("providerRequest.url", 5, "providerRequest.url", "url must be a non-empty string"),
        ("providerRequest.json", ..., "providerRequest.json", "json must be an object"),
        ("providerRequest.json", [], "providerRequest.json", "json must be an object"),
        ("providerRequest.meta", None, "providerRequest.meta", "meta must be an object"),
        ("providerResponse.status", "200", "providerResponse.status", "status must be a number"),
        ("providerResponse.status", True, "providerResponse.status", "status must be a number"),
        ("providerResponse.headers", ..., "providerResponse.headers", "headers must be an object"),
        ("providerResponse.json", None, "providerResponse", "either json or textBody is required"),
        ("providerResponse.json", ..., "providerResponse", "either json or textBody is required"),
        ("timing.startTime", ..., "timing.startTime", "startTime is required when timing is provided"),
        ("timing.startTime", {"seconds": 1}, "timing.startTime", "startTime is required when timing is provided"),
        ("timing.endTime", "", "timing.endTime", "endTime is required when timing is provided"),
        ("timing.timeToFirstToken", "1", "timing.timeToFirstToken", "timeToFirstToken must be a number"),
    ],
)
async def test_one_fault(doors: Doors, path: str, value: Any, field: str, message: str) -> None:
    answer = await post(doors, changed(path, value, TYPED), PATH)
    assert answer.status_code == 400
    assert answer.json() == {"isValid": False, "errors": [{"field": field, "message": message}]}
    assert doors.publisher.published == []


async def test_all_faults_at_once(doors: Doors) -> None:
    body = {"providerRequest": {}, "providerResponse": {"textBody": ""}, "timing": 5}
    answer = await post(doors, body, PATH)
    assert [error["field"] for error in answer.json()["errors"]] == [
        *("providerRequest.url", "providerRequest.json", "providerRequest.meta"),
        *("providerResponse.status", "providerResponse.headers", "providerResponse"),
        *("timing.startTime", "timing.endTime"),
    ]


async def test_missing_and_unknown_fields_are_another_answer(doors: Doors) -> None:
    answer = await post(doors, {"providerRequest": {}, "odd": [1], "provider": 5}, PATH)
    assert answer.status_code == 422
    assert answer.json() == {
        "message": "Validation Failed",
        "details": {
            "providerResponse": {"message": "'providerResponse' is required", "value": None},
            "provider": {"message": "invalid string value", "value": 5},
            "odd": {"message": '"odd" is an excess property and therefore is not allowed', "value": [1]},
        },
    }
    assert set((await post(doors, [1], PATH)).json()["details"]) == {"providerRequest", "providerResponse"}


async def test_the_answer_does_not_grow_with_what_was_sent(doors: Doors) -> None:
    odd = {f"odd{number}": "x" * VALUE_BYTES_MAX for number in range(FIELDS_NAMED_MAX + 5)}
    details = (await post(doors, TYPED | odd, PATH)).json()["details"]
    assert len(details) == FIELDS_NAMED_MAX
    assert details["odd0"]["value"] is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{nonsense", "Invalid JSON: expected '\"' (byte 1)"),
        (changed("timing.startTime", "yesterday", TYPED), "Invalid timing structure or value type"),
        (changed("timing.startTime", "2027-01-01", TYPED), "startTime cannot be greater than endTime"),
        (changed("providerResponse.status", 1000, TYPED), "Invalid status: 1000 is not between -999 and 999"),
    ],
)
async def test_other_faults_are_those_of_every_log(doors: Doors, body: Any, text: str) -> None:
    answer = await post(doors, body, PATH)
    assert (answer.status_code, answer.json()["error"]) == (400, text)
