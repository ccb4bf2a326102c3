"""The join gives what a look at the whole trace gives, however its log is cut into batches.

Method: random traces at random broker times go through the join piece by piece, with only those spans at hand that the
store would load, windows closed now and then, and old spans forgotten; the end is compared with tests/trace_oracle.py.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.event import Event
from processors.batch import Received
from processors.spans import make_link
from processors.traces import CHAIN_SPANS_MAX, REMEMBERED, USAGE_COUNTED_BY, Found, Key, Link, decided, join
from tests.span_logs import ORIGIN, Shape, in_batches, random_log, received
from tests.trace_oracle import Outcome, Trace

LATER = timedelta(days=30)


class Memory:
    """What the tables hold, and the loading that the store does, in words of Python."""

    def __init__(self) -> None:
        self.links: dict[Key, Link] = {}
        self.events: dict[Key, Event] = {}
        self.counted_paths: dict[Key, str] = {}
        self.sessions: dict[Key, str] = {}
        self.now: datetime | None = None

    def take(self, batch: Sequence[Received]) -> None:
        fresh: dict[Key, Link] = {}
        known = self._load(batch)
        for item in batch:
            self.now = item.log_time if self.now is None else max(self.now, item.log_time)
            link = make_link(item, self.now, item.item)
            if link.key not in known and link.key not in fresh:
                fresh[link.key] = link
                if item.item is not None:
                    self.events[link.key] = item.item.event
        waiting = [link for link in known.values() if (link.project_id, link.trace_id, link.waits_for) in fresh]
        known_due = [link for link in [*self.links.values(), *fresh.values()] if self._is_due(link)]
        self._note({**known, **fresh}, join(known, fresh.values(), waiting, known_due))
        self.links.update(fresh)
        self._forget()

    def close(self, moment: datetime) -> None:
        """Nothing more is there to read at this broker time."""
        self.now = moment if self.now is None else max(self.now, moment)
        due = [link for link in self.links.values() if self._is_due(link)]
        self._note(self.links, join({}, [], [], due))

    def outcomes(self) -> dict[str, Outcome]:
        return {
            key[2]: Outcome(
                event.session_id, event.session_name, event.user_id, event.path, event.properties.get(USAGE_COUNTED_BY)
            )
            for key, event in self.events.items()
        }

    def _is_due(self, link: Link) -> bool:
        assert self.now is not None
        return link.is_open and link.closes_at < self.now

    def _load(self, batch: Sequence[Received]) -> dict[Key, Link]:
        keys = {(r.span.project_id, r.span.trace_id, r.span.span_id) for r in batch}
        waiting = [link for link in self.links.values() if (link.project_id, link.trace_id, link.waits_for) in keys]
        known = {link.key: link for link in waiting} | {key: self.links[key] for key in keys if key in self.links}
        parents = [r.span.parent_span_id for r in batch] + [link.parent_span_id for link in waiting]
        for span_id in parents:
            parent = self.links.get((1, batch[0].span.trace_id, span_id or ""))
            for _ in range(CHAIN_SPANS_MAX):
                if parent is None:
                    break
                known[parent.key] = parent
                parent = self.links.get((1, parent.trace_id, parent.parent_span_id or ""))
        return known

    def _note(self, links: dict[Key, Link], found: dict[Key, Found]) -> None:
        for key, seen in found.items():
            if key not in self.events:
                continue
            link = links.get(key) or self.links[key]
            before = self.events[key]
            after = self.events[key] = decided(before, link, seen)
            if key in self.sessions:
                assert after.session_id == self.sessions[key], "a resolved event moved"
            if after.session_id is not None:
                self.sessions[key] = after.session_id
                if not link.is_path_provisional:
                    assert self.counted_paths.setdefault(key, after.path or "") == after.path, "counted on two paths"

    def _forget(self) -> None:
        assert self.now is not None
        if not any(link.is_open for link in self.links.values()):
            for key in [key for key, link in self.links.items() if link.closes_at < self.now - REMEMBERED]:
                del self.links[key]


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_batching_gives_what_the_whole_trace_gives(rng: Random) -> None:
    log = random_log(rng)
    batches = in_batches(rng, log)
    expected = Trace(log).outcomes()
    memory = Memory()
    for place, batch in enumerate(batches):
        memory.take(batch)
        if place + 1 < len(batches) and rng.random() < 0.5:
            memory.close(batches[place + 1][0].log_time)
    memory.close(ORIGIN + LATER)
    assert memory.outcomes() == expected
    for key, event in memory.events.items():
        assert not memory.links[key].is_open if key in memory.links else True
        assert (key in memory.counted_paths) == (event.session_id is not None)


def outcome(*log: tuple[int, Shape, float], until: timedelta = LATER) -> dict[int, Outcome]:
    """Each record a batch of its own, at that many seconds."""
    memory = Memory()
    for offset, (number, shape, seconds) in enumerate(log):
        memory.take([received(number, shape, log_time=ORIGIN + timedelta(seconds=seconds), offset=offset)])
    memory.close(ORIGIN + until)
    return {int(span_id, 16) - 1: value for span_id, value in memory.outcomes().items()}


ROOT = Shape(None, "span", session="s-1", name="Trip", user="u-1")


def test_a_child_that_comes_first_joins_its_parents_session() -> None:
    got = outcome((1, Shape(0, "llm"), 0), (0, ROOT, 5))[1]
    assert got == Outcome("s-1", "Trip", "u-1", "/s0/s1", None)


def test_a_missing_parent_is_waited_for_and_not_skipped() -> None:
    waiting = outcome((0, ROOT, 0), (2, Shape(1, "llm"), 0), until=timedelta(seconds=50))
    assert waiting[2].session_id is None
    assert outcome((0, ROOT, 0), (2, Shape(1, "llm"), 0), (1, Shape(0, None), 5))[2].path == "/s0/s2"


def test_a_parent_that_comes_after_the_window_comes_too_late() -> None:
    assert outcome((1, Shape(0, "llm"), 0), (0, ROOT, 100))[1].session_id == "s-1"
    assert outcome((1, Shape(0, "llm"), 0), (0, ROOT, 101))[1] == Outcome(None, None, "", "/provisional/s1", None)


def test_a_parent_that_came_long_before_counts_until_it_is_forgotten() -> None:
    day = REMEMBERED.total_seconds() + 100
    assert outcome((0, ROOT, 0), (1, Shape(0, "llm"), day))[1].session_id == "s-1"
    assert outcome((0, ROOT, 0), (1, Shape(0, "llm"), day + 1))[1].session_id is None


def test_the_nearest_ancestor_gives_and_each_field_comes_on_its_own() -> None:
    middle = Shape(0, "tool", session="s-2")
    got = outcome((2, Shape(1, "llm", user="mine"), 0), (1, middle, 0), (0, ROOT, 0))[2]
    assert (got.session_id, got.session_name, got.user_id) == ("s-2", "Trip", "mine")


def test_a_trace_without_a_session_is_one_only_if_the_project_says_so() -> None:
    assert outcome((0, Shape(None, "llm"), 0))[0].session_id is None
    assert outcome((0, Shape(None, "llm", trace_as_session=True), 0))[0].session_id == f"{1:032x}"


def test_an_explicit_path_replaces_everything_above_and_at_it() -> None:
    middle = Shape(0, "span", path="/plan/search")
    assert outcome((0, ROOT, 0), (1, middle, 0), (2, Shape(1, "llm"), 0))[2].path == "/plan/search/s2"


def test_only_the_innermost_usage_counts_whichever_comes_first() -> None:
    outer, inner = Shape(None, "llm", has_usage=True), Shape(0, "llm", has_usage=True)
    for log in (((0, outer, 0), (1, inner, 90)), ((1, inner, 0), (0, outer, 90))):
        got = outcome(*log)
        assert (got[0].usage_counted_by, got[1].usage_counted_by) == (f"{2:016x}", None)
    assert outcome((0, outer, 0), (1, inner, 101))[0].usage_counted_by is None


def test_usage_waits_for_the_chain_even_when_nothing_else_is_missing() -> None:
    inner = Shape(1, "llm", session="s-1", name="Trip", user="u-1", path="/mine", has_usage=True)
    got = outcome((0, Shape(None, "llm", has_usage=True), 0), (2, inner, 0), (1, Shape(0, None), 5))
    assert got[0].usage_counted_by == f"{3:016x}"


def test_usage_is_not_taken_off_once_the_outer_spans_window_has_closed() -> None:
    outer, inner = Shape(None, "llm", has_usage=True, window_seconds=10), Shape(1, "llm", has_usage=True)
    for seconds, counted_by in ((10, f"{3:016x}"), (11, None)):
        got = outcome((0, outer, 0), (2, inner, 0), (1, Shape(0, None), seconds))
        assert got[0].usage_counted_by == counted_by


def test_the_deepest_span_counts_and_of_several_the_first_in_the_log() -> None:
    usage = [Shape(parent, "llm", has_usage=True) for parent in (None, 0, 1, 1)]
    for order in ((0, 1, 3, 2), (3, 2, 1, 0), (3, 1, 0, 2)):
        got = outcome(*((number, usage[number], 0) for number in order))
        assert [got[number].usage_counted_by for number in range(4)] == [f"{4:016x}", f"{4:016x}", None, None]


def test_a_circle_of_parents_ends_without_a_session() -> None:
    got = outcome((0, Shape(1, "llm"), 0), (1, Shape(0, "llm"), 0))
    assert {value.session_id for value in got.values()} == {None}


def test_a_chain_counts_up_to_its_limit() -> None:
    def deepest(depth: int) -> Any:
        log = [(n, Shape(n - 1, None), 0.0) for n in range(1, depth)]
        return outcome((0, ROOT, 0.0), *log, (depth, Shape(depth - 1, "llm"), 0.0))[depth].session_id

    assert deepest(CHAIN_SPANS_MAX) == "s-1"
    assert deepest(CHAIN_SPANS_MAX + 1) is None
