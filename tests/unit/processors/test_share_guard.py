"""The share guard's window: one look after every record, wherever batches begin and end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.batch import DeadLetter, Place
from processors.errors import TooManyDeadLetters
from processors.share_guard import RECORDS_MIN, WINDOW_RECORDS, ShareGuard, Window, extend
from tests.factories import TOPIC, make_slice, native_record

RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 400)), min_size=1, max_size=12)
"""Runs of records that fail, or do not."""


def is_ever_over(failed: list[bool]) -> bool:
    """The limit in plain words: after some record more than a fifth of the last 1,000 have failed, of at least 100."""
    lasts = [failed[max(0, end - 1000) : end] for end in range(100, len(failed) + 1)]
    return any(sum(last) * 5 > len(last) for last in lasts)


@given(RUNS, st.lists(st.integers(0, 5_000), max_size=8))
def test_it_stops_exactly_when_the_last_records_say_so_however_they_are_batched(
    runs: list[tuple[bool, int]], cuts: list[int]
) -> None:
    failed = [fails for fails, count in runs for _ in range(count)]
    window, is_over = Window(), False
    edges = [0, *sorted(cut for cut in cuts if cut < len(failed)), len(failed)]
    for start, end in pairwise(edges):
        numbers = [(number, "reason") for number, fails in enumerate(failed[start:end]) if fails]
        window, over = extend(window, end - start, numbers)
        is_over |= over is not None
    assert is_over == is_ever_over(failed)
    assert window.seen == len(failed)
    assert len(window.failures) == sum(failed[-WINDOW_RECORDS:])


def letters(count: int, *, first: int = 0, reason: str = "no_value") -> list[DeadLetter]:
    return [DeadLetter(Place(TOPIC, 0, first + n), None, None, "decode", reason, "") for n in range(count)]


def weigh(guard: ShareGuard, good: int, bad: int) -> Window:
    part = make_slice([native_record()] * good)
    part.dead_letters = letters(bad, first=good)
    return guard.weigh([part], part.dead_letters)


def test_a_batch_that_is_not_committed_is_not_counted() -> None:
    guard = ShareGuard()
    for _ in range(5):
        weigh(guard, 0, RECORDS_MIN - 1)
    guard.adopt(weigh(guard, 0, RECORDS_MIN - 1))
    with pytest.raises(TooManyDeadLetters) as stopped:
        weigh(guard, 0, 1)
    assert (stopped.value.seen, stopped.value.reasons) == (RECORDS_MIN, {"no_value": RECORDS_MIN})


def test_after_a_stop_it_lets_go_on_and_watches_again_once_the_share_is_fine() -> None:
    guard = ShareGuard()
    guard.disarm()
    guard.adopt(weigh(guard, 80, 300))
    guard.adopt(weigh(guard, 400, 0))
    guard.adopt(weigh(guard, 0, 100))
    guard.adopt(weigh(guard, 1000, 0))
    with pytest.raises(TooManyDeadLetters):
        weigh(guard, 0, 300)


def test_records_that_a_person_dropped_did_not_fail() -> None:
    part = make_slice([])
    part.dead_letters = letters(200)
    for letter in part.dead_letters:
        letter.state = "drop"
    assert ShareGuard().weigh([part], part.dead_letters) == Window(200)
