"""Goal: a body of the wrong shape is refused in Helicone's words, each field named; defaults are lenient."""

from typing import Any

import orjson
import pytest

from query.bodies import RequestQueryBody, SessionQueryBody, read_body
from query.errors import InvalidQuestion, ValidationFailed
from query.questions import requests_question, sessions_question


def faults_of(body: Any) -> dict[str, Any]:
    with pytest.raises(ValidationFailed) as caught:
        read_body(SessionQueryBody, orjson.dumps(body))
    return caught.value.envelope()


def test_p_r_4_an_empty_body_takes_every_default() -> None:
    question = sessions_question(read_body(SessionQueryBody, b"{}"))
    assert (question.sessions_max, question.skip, question.sort, question.descending) == (50, 0, "created_at", True)
    assert (question.window.start, question.window.end, question.whole) == (None, None, False)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"sort_by": 1}, "sort_by", '"sort_by" is an excess property and therefore is not allowed'),
        ({"timeFilter": {"startTimeUnixMs": "x"}}, "timeFilter.startTimeUnixMs", "invalid float number"),
        ({"limit": "50"}, "limit", "invalid float number"),
        ({"limit": True}, "limit", "invalid float number"),
        ({"search": 5}, "search", "invalid string value"),
        ({"timeFilter": None}, "timeFilter", "invalid object"),
        ({"totals": "all"}, "totals", "should be one of the following; 'matching' or 'session'"),
    ],
)
def test_a_field_of_the_wrong_shape_is_named(body: Any, field: str, message: str) -> None:
    envelope = faults_of(body)
    assert envelope["error"] == f"Validation Failed: {field}: {message}"
    assert envelope["message"] == "Validation Failed"
    assert envelope["details"][f"requestBody.{field}"]["message"] == message
    assert envelope["data"] is None


def test_a_required_field_is_named() -> None:
    class Body(SessionQueryBody):
        timeFilter: Any  # required here, as in Helicone

    with pytest.raises(ValidationFailed) as caught:
        read_body(Body, b"{}")
    assert caught.value.text == "Validation Failed: timeFilter: 'timeFilter' is required"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"limit": NaN}'])
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidQuestion, match=r"^Invalid JSON: "):
        read_body(SessionQueryBody, raw)


@pytest.mark.parametrize(
    ("limit", "sessions_max"), [(None, 50), (0, 50), (0.9, 50), (1.9, 1), (5000, 1000), (-0.5, 0), (-7, 0)]
)
def test_the_limit_of_a_session_list(limit: float | None, sessions_max: int) -> None:
    assert sessions_question(SessionQueryBody(limit=limit)).sessions_max == sessions_max


@pytest.mark.parametrize("zone", [-1440.5, 1441, "60", None, True])
def test_a_time_zone_out_of_range_is_refused(zone: Any) -> None:
    with pytest.raises(InvalidQuestion, match="Invalid timezone difference"):
        sessions_question(SessionQueryBody(timezoneDifference=zone))


@pytest.mark.parametrize(
    ("sort", "text"),
    [
        ({"created_at": "up"}, "Invalid sort direction: up"),
        ({"colour": "asc"}, "Unknown sort field: colour"),
        ({"created_at": "asc", "total_cost": "asc"}, "Invalid sort: name one field"),
    ],
)
def test_a_bad_sort_is_refused(sort: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidQuestion) as caught:
        sessions_question(SessionQueryBody(sort=sort))
    assert caught.value.text == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"offset": -1}, "unsupport offset value"),
        ({"limit": -1}, "invalid limit"),
        ({"limit": 1001}, "invalid limit"),
        ({"sort": {"latency": "DESC"}}, "Invalid sort direction: DESC"),
        ({"sort": {"properties": {"a": "asc"}}}, "Sort not supported yet: properties"),
        ({"sort": {"colour": "asc"}}, "Unknown sort field: colour"),
        ({"isScored": True}, "Filter not supported yet: isScored"),
    ],
)
def test_a_request_query_out_of_range_is_refused(body: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidQuestion) as caught:
        requests_question(RequestQueryBody(**body))
    assert caught.value.text == text


def test_the_first_present_sort_of_the_specifications_list_counts() -> None:
    question = requests_question(RequestQueryBody(sort={"cost": "asc", "latency": "desc", "last_active": "asc"}))
    assert (question.sort, question.descending) == ("latency", True)
