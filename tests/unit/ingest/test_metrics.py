"""Goal: what ingest does is counted, with a reason for what is refused. Method: calls, then a scrape."""

import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest.errors import NotDurable
from ingest.metrics import HELP, DoorTally, Histogram, Metrics
from tests.tidy.checkout import ROOT
from tests.unit.ingest.doors import READ_ONLY_KEY, Doors, make_doors
from tests.unit.ingest.logs import SMALLEST


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def scrape(doors: Doors) -> dict[tuple[str, ...], float]:
    """(metric, label values without the pid) -> value, of the samples that are not 0."""
    answer = await doors.client.get("/metrics", headers={"Authorization": ""})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (
            sample.name.removeprefix("pathline_ingest_"),
            *(v for k, v in sample.labels.items() if k != "pid"),
        ): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.value
    }


async def test_requests_and_events_are_counted_by_door_and_reason(doors: Doors) -> None:
    await doors.client.post("/v1/events", json=[{}, {"status": 1000}, {"a": 1}])
    await doors.client.post("/v1/events", json={"status": 1000})
    await doors.client.post("/v1/events", content=b"{}", headers={"Authorization": f"Bearer {READ_ONLY_KEY}"})
    doors.publisher.faults = [NotDurable()]
    await doors.client.post("/v1/events", json={})
    await doors.client.post("/custom/v1/log", json=SMALLEST)
    await doors.client.post("/v1/trace/custom/log/typed", json={})
    await doors.client.post("/v1/sessions/s/end", json={"outcome": "completed"})
    await doors.client.post("/v1/nothing")
    await doors.client.get("/v1/events")
    doors.publisher.refusal = RuntimeError()
    await doors.client.post("/oai/v1/log", json=SMALLEST)
    found = await scrape(doors)
    expected = {
        ("requests_total", "events", "2xx"): 1,
        ("requests_total", "events", "4xx"): 3,
        ("requests_total", "events", "5xx"): 1,
        ("requests_refused_total", "events", "invalid_status"): 1,
        ("requests_refused_total", "events", "forbidden"): 1,
        ("requests_refused_total", "events", "not_durable"): 1,
        ("events_accepted_total", "events"): 1,
        ("events_refused_total", "events", "invalid_status"): 2,
        ("events_refused_total", "events", "unknown_field"): 1,
        ("events_refused_total", "events", "not_durable"): 1,
        ("requests_total", "helicone_log", "2xx"): 1,
        ("requests_total", "helicone_log", "5xx"): 1,
        ("requests_refused_total", "helicone_log", "internal_error"): 1,
        ("events_accepted_total", "helicone_log"): 1,
        ("requests_total", "helicone_log_typed", "4xx"): 1,
        ("requests_refused_total", "helicone_log_typed", "invalid_typed_log"): 1,
        ("events_refused_total", "helicone_log_typed", "invalid_typed_log"): 1,
        ("requests_total", "session_end", "2xx"): 1,
        ("events_accepted_total", "session_end"): 1,
        ("requests_total", "none", "4xx"): 1,
        ("requests_refused_total", "none", "not_found"): 1,
        ("requests_refused_total", "events", "method_not_allowed"): 1,
    }
    assert {place: value for place, value in found.items() if place[0].endswith("_total")} == expected


async def test_every_queue_has_a_length_and_a_capacity(doors: Doors) -> None:
    doors.metrics.add_queue("in_flight", lambda: 5, 10)
    found = await scrape(doors)
    assert (found["queue_bytes", "in_flight"], found["queue_capacity_bytes", "in_flight"]) == (5, 10)
    capacities = {place[1] for place in found if place[0] == "queue_capacity_bytes"}
    assert capacities == {"in_flight", "bodies"}


def test_durations_are_counted_at_or_below_their_bound() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    assert histogram.buckets() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.sum_seconds == pytest.approx(7.65)
    metrics = Metrics()
    metrics.add_histogram("acknowledgement_seconds", histogram)
    assert b'pathline_ingest_acknowledgement_seconds_bucket{le="1.0",pid="' in metrics.text()


def test_a_count_costs_less_than_half_a_microsecond() -> None:
    tally, rounds = DoorTally(), 20_000

    def seconds_of_one() -> float:
        began = time.thread_time()
        for _ in range(rounds):
            tally.take(1)
        return (time.thread_time() - began) / rounds

    # Of its own CPU, the best of some rounds: what disturbs a machine only makes it slower.
    assert min(seconds_of_one() for _ in range(10)) < 0.5e-6
    assert tally.accepted == 10 * rounds


def test_each_metric_is_documented() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `pathline_ingest_(\w+?)(?:_total)?` \| ([^|]+?) \|", page, re.MULTILINE))
    assert rows == HELP
