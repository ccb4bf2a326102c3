"""Goal: `/v1/logs` and span events end sessions (otlp.md section 12). Method: calls over a publisher in memory."""

from typing import Any
from uuid import UUID, uuid5

import pytest

from infra.topics import EVENTS, SPANS
from ingest.decode.record import decode
from ingest.errors import NotDurable
from ingest.event import from_us, routing_key
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.otlp_exports import (
    ENCODINGS,
    START_NS,
    attributes,
    make_export,
    make_logs,
    make_span,
    partial_success,
    send,
    status_of,
)

NAMESPACE = UUID("2f88cae1-2e69-5a3b-ad10-f25ae169315b")
ONLY = "only session.start and session.end are stored"
both = pytest.mark.parametrize("encoding", ENCODINGS, ids=["protobuf", "json"])


@pytest.fixture
def doors() -> Doors:
    return make_doors()


def make_end(**changes: Any) -> dict[str, Any]:
    log = {"timeUnixNano": str(START_NS), "eventName": "session.end", "attributes": attributes(session__id="s")}
    return {name: value for name, value in {**log, **changes}.items() if value is not None}


async def send_logs(doors: Doors, encoding: str, *records: dict[str, Any]) -> tuple[int, str] | None:
    return partial_success(await send(doors, make_logs(*records), encoding, "/v1/logs"))


@both
async def test_a_log_record_ends_its_session(doors: Doors, encoding: str) -> None:
    assert await send_logs(doors, encoding, make_end()) is None
    event_id = str(uuid5(NAMESPACE, f"log-session.end-s-{START_NS}"))
    assert doors.publisher.published[0][0] == routing_key(7, "s", event_id)
    assert doors.publisher.topics == [EVENTS.name]
    event = decode(doors.publisher.records[0])
    assert (event.kind, event.source, event.session_id) == ("session_end", "otlp.end", "s")
    assert (str(event.event_id), event.outcome) == (event_id, "completed")
    assert event.started_at == event.ended_at == from_us(START_NS // 1000)


@both
@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"severityNumber": 16}, "completed", None),
        ({"severityNumber": 17}, "failed", None),
        ({"attributes": attributes(session__id="s", error__type="Timeout")}, "failed", "Timeout"),
        ({"eventName": None, "attributes": attributes(session__id="s", event__name="session.end")}, "completed", None),
        ({"attributes": None, "body": {"kvlistValue": {"values": attributes(session__id="s")}}}, "completed", None),
        ({"timeUnixNano": None, "observedTimeUnixNano": str(START_NS)}, "completed", None),
        ({"eventName": "session.start", "attributes": attributes(session__id="t", session__previous_id="s")},
         "completed", None),
    ],
)  # fmt: skip
async def test_forms_of_an_end(
    doors: Doors, encoding: str, changes: dict[str, Any], outcome: str, reason: str | None
) -> None:
    assert await send_logs(doors, encoding, make_end(**changes)) is None
    event = decode(doors.publisher.records[0])
    assert (event.session_id, event.outcome, event.outcome_reason) == ("s", outcome, reason)


@both
async def test_other_log_records_are_counted(doors: Doors, encoding: str) -> None:
    plain = {"timeUnixNano": str(START_NS), "body": {"stringValue": "hello"}}
    assert await send_logs(doors, encoding, plain, make_end(), plain) == (2, ONLY)
    assert len(doors.publisher.published) == 1


@both
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attributes": None}, "session.end has no session.id"),
        ({"timeUnixNano": None}, "session.end has no time"),
        ({"timeUnixNano": str(START_NS * 2)}, "the time of session.end is in the future"),
        ({"attributes": attributes(session__id="é" * 513)}, "Invalid session.id: longer than 1024 bytes"),
    ],
)
async def test_an_end_that_breaks_a_rule_is_refused(
    doors: Doors, encoding: str, changes: dict[str, Any], reason: str
) -> None:
    assert await send_logs(doors, encoding, make_end(**changes)) == (1, f"1 log record refused: {reason}")
    assert doors.publisher.published == []


@both
async def test_a_start_without_a_previous_session_is_taken_and_ends_none(doors: Doors, encoding: str) -> None:
    assert await send_logs(doors, encoding, make_end(eventName="session.start")) is None
    assert doors.publisher.published == []


@both
async def test_an_event_on_a_span_ends_a_session(doors: Doors, encoding: str) -> None:
    event = {"name": "session.end", "timeUnixNano": str(START_NS), "attributes": attributes(session__id="s")}
    other = {**event, "name": "exception"}
    refused = make_span(2, spanId="00", events=[event])
    answer = await send(doors, make_export(make_span(1, events=[other, event]), refused), encoding)
    assert partial_success(answer) == (1, "1 span refused: span id is not 8 bytes")
    assert doors.publisher.topics == [SPANS.name, EVENTS.name]
    assert decode(doors.publisher.records[1]).session_id == "s"


@both
async def test_an_end_that_may_be_lost_makes_the_export_one_to_send_again(doors: Doors, encoding: str) -> None:
    doors.publisher.faults = [NotDurable()]
    answer = await send(doors, make_logs(make_end()), encoding, "/v1/logs")
    assert (answer.status_code, answer.headers["retry-after"], status_of(answer)[0]) == (503, "1", 14)


@both
async def test_the_same_end_has_the_same_id(doors: Doors, encoding: str) -> None:
    for _ in range(2):
        await send_logs(doors, encoding, make_end())
    first, second = doors.publisher.records
    assert first.event_id == second.event_id


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x7f"])
async def test_logs_that_cannot_be_decoded_are_400(doors: Doors, body: bytes) -> None:
    answer = await send(doors, body, ENCODINGS[0], "/v1/logs")
    assert (answer.status_code, status_of(answer)[0]) == (400, 3)
    bad = await send(doors, make_logs(make_end(timeUnixNano="x")), path="/v1/logs")
    place = "resourceLogs[0].scopeLogs[0].logRecords[0].timeUnixNano"
    assert (bad.status_code, status_of(bad)[2]) == (400, place)
