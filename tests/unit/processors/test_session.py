"""A session's fold is the same in any order, and its status follows the rules in their order."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode.record import decode
from ingest.event import Event
from processors.session import PathFold, SessionFold, derive_status, measure, normalise_path
from tests.factories import random_records

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
IDLE = timedelta(minutes=5)


def fold_session(events: list[Event]) -> SessionFold:
    fold = SessionFold()
    for event in events:
        fold.add(event, measure(event))
    return fold


def fold_path(events: list[Event]) -> PathFold:
    fold = PathFold()
    for event in events:
        fold.add(event, measure(event))
    return fold


EVENTS = [decode(record) for record in random_records(7, count=30, sessions=1) if record.session_id]


@settings(max_examples=60, deadline=None)
@given(st.permutations(EVENTS))
def test_folds_commute(events: list[Event]) -> None:
    assert fold_session(events) == fold_session(EVENTS)
    assert fold_path(events) == fold_path(EVENTS)


def test_spans_extend_the_events_but_are_no_requests() -> None:
    spans = [event for event in EVENTS if event.kind == "span"]
    fold = fold_session(spans)
    assert (fold.amounts.request_count, fold.first_request_at, fold.amounts.error_count) == (0, None, 0)
    assert fold.event_count == len(spans)
    assert fold.last_event_end_at == max(event.ended_at for event in spans)
    assert fold_path(spans).span_count == len(spans)


AMOUNTS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cost_nanousd")
NOTHING = dict.fromkeys(AMOUNTS, 0)
USED: dict[str, Any] = {
    "prompt_tokens": 900,
    "completion_tokens": 70,
    "cache_read_tokens": 5,
    "cost_nanousd": 12_500_000,
}


@pytest.mark.parametrize(("source", "counted"), [("otlp", USED), ("native", NOTHING)])
def test_usage_of_a_span_counts_where_its_project_decides_it(source: str, counted: dict[str, int]) -> None:
    """A span of OpenTelemetry has none unless the project counts it; on a native one it says nothing of the sums."""
    span = Event(1, UUID(int=1), "span", source, NOW, NOW + IDLE, NOW, session_id="s", path="/plan", **USED)
    for fold in (fold_session([span]), fold_path([span])):
        amounts = fold.amounts
        assert {name: getattr(amounts, name) for name in AMOUNTS} == counted
        assert (amounts.request_count, amounts.error_count, amounts.latency_us_sum) == (0, 0, 0)
        fold.take_back(span, measure(span))
        assert {name: getattr(amounts, name) for name in AMOUNTS} == NOTHING
    assert fold_session([span]).unpriced_count == 0


@pytest.mark.parametrize(
    ("status", "given_"),
    [
        ("failed", {"outcome": "failed", "last_received_at": NOW}),
        ("completed", {"outcome": "completed", "last_is_error": True}),
        ("active", {"last_received_at": NOW - IDLE, "last_is_error": True}),
        ("failed", {"last_received_at": NOW - IDLE - timedelta(microseconds=1), "last_is_error": True}),
        ("completed", {"last_received_at": NOW - IDLE - timedelta(microseconds=1)}),
    ],
)
def test_status_is_the_first_rule_that_applies(status: str, given_: dict[str, Any]) -> None:
    facts = {"outcome": None, "last_received_at": NOW - timedelta(days=1), "last_is_error": False, **given_}
    assert derive_status(**facts, idle_limit=IDLE, now=NOW) == status


@pytest.mark.parametrize(
    ("sent", "normalised"),
    [(None, "/"), ("", "/"), ("/", "/"), ("a", "/a"), ("/a/", "/a"), ("//a///b", "/a/b"), ("/A/b", "/A/b")],
)
def test_paths_are_normalised_for_the_rollup(sent: str | None, normalised: str) -> None:
    assert normalise_path(sent) == normalised
