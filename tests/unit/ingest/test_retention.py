"""Goal: what starts before a project's retention is refused at the door, and nothing is where there is none."""

import time
from uuid import UUID

import pytest

from infra.project_settings import ProjectSettings
from ingest.decode.record import decode
from ingest.event import EPOCH
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.logs import SMALLEST, post

DAY_SECONDS = 86_400


@pytest.fixture
def doors() -> Doors:
    return make_doors()


def days_ago(days: float) -> float:
    return time.time() - days * DAY_SECONDS


def timed_log(days: float) -> dict[str, object]:
    moment = {"seconds": int(days_ago(days)), "milliseconds": 0}
    return {**SMALLEST, "timing": {"startTime": moment, "endTime": moment}}


async def test_old_times_are_accepted_where_the_project_says_nothing(doors: Doors) -> None:
    assert (await post(doors, timed_log(1_000))).status_code == 200
    answer = await doors.client.post("/v1/events", json={"started_at": "1970-01-01T00:00:00Z"})
    assert answer.status_code == 200
    assert decode(doors.publisher.records[1]).started_at == EPOCH


async def test_a_log_that_is_older_than_the_retention(doors: Doors) -> None:
    doors.decide(ProjectSettings(retention_days=30))
    answer = await post(doors, timed_log(30.01))
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "Invalid timing: 'startTime' is older than the retention", "code": "invalid_time"},
    )
    assert (await post(doors, timed_log(29.99))).status_code == 200


async def test_an_event_that_is_older_than_the_retention_is_refused_alone(doors: Doors) -> None:
    doors.decide(ProjectSettings(retention_days=30))
    # Only the start counts: what began before the retention and ended within it is refused too.
    old = {"started_at": days_ago(31), "ended_at": days_ago(1)}
    answer = await doors.client.post("/v1/events", json=[{"started_at": days_ago(29)}, old, {"ended_at": days_ago(31)}])
    assert answer.json()["accepted"] == 1
    text = "Invalid started_at: it is older than the retention"
    assert [(one["index"], one["error"], one["code"]) for one in answer.json()["results"][1:]] == [
        (1, text, "invalid_time"),
        (2, text, "invalid_time"),
    ]
    assert (await doors.client.post("/v1/events", json=old)).json()["error"] == text


async def test_a_time_inside_the_id_counts_as_the_start(doors: Doors) -> None:
    doors.decide(ProjectSettings(retention_days=30))
    value = int(days_ago(31) * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | 1
    answer = await doors.client.post("/v1/events", json={"event_id": str(UUID(int=value))})
    assert answer.json()["error"] == "Invalid started_at: it is older than the retention"


async def test_an_end_of_a_session_that_is_older_than_the_retention(doors: Doors) -> None:
    doors.decide(ProjectSettings(retention_days=30))
    answer = await doors.client.post("/v1/sessions/s/end", json={"outcome": "completed", "at": days_ago(31)})
    assert answer.json() == {"error": "Invalid at: it is older than the retention", "code": "invalid_time"}
    assert doors.publisher.published == []


async def test_a_record_that_was_accepted_is_decoded_whatever_its_age(doors: Doors) -> None:
    assert (await post(doors, timed_log(1_000))).status_code == 200
    [record] = doors.publisher.records
    assert decode(record).started_at.timestamp() < days_ago(999)
