"""Stopping a generation when too many of its records become dead letters: then it is not they that are wrong. Pure.

Each of a worker's loops watches the records that it stored itself, in order of partition and offset within a batch. The
batch in which the limit is crossed is rolled back, so that nothing is diverted beyond it. The window slides over single
records, so where batches begin and end is no matter; a restart begins with an empty one.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.batch import DeadLetter, Slice
from processors.errors import TooManyDeadLetters

WINDOW_RECORDS = 1_000
"""How many of the last records are looked at."""
RECORDS_MIN = 100
"""Fewer than this many say nothing yet: a handful of bad records may come first."""
SHARE_PERCENT_MAX = 20
"""What may fail; more than this stops the generation."""


@dataclass(frozen=True, slots=True)
class Window:
    """The last records of a loop, of which only those that failed are kept."""

    seen: int = 0
    """Records since the window was empty."""
    failures: tuple[tuple[int, str], ...] = ()
    """Of the last WINDOW_RECORDS those that failed: their numbers, counted from 0 like `seen`, and reasons."""

    @property
    def records(self) -> int:
        """How many records are in it."""
        return min(self.seen, WINDOW_RECORDS)

    @property
    def is_over(self) -> bool:
        """Whether more failed than may."""
        return self.seen >= RECORDS_MIN and len(self.failures) * 100 > SHARE_PERCENT_MAX * self.records

    @property
    def is_fine(self) -> bool:
        """Whether there are enough records to say that no more failed than may."""
        return self.seen >= RECORDS_MIN and not self.is_over


def extend(window: Window, count: int, failures: Sequence[tuple[int, str]]) -> tuple[Window, Window | None]:
    """The window after `count` further records, and as it was when it was first over the limit, if it was.

    `failures`: which of the records failed, counted from 0, ascending, and why. Between two failures the share only
    falls, but for the moment at which there are enough records to look at.
    """
    end = window.seen + count
    moments: list[tuple[int, str | None]] = [(window.seen + number, reason) for number, reason in failures]
    if window.seen < RECORDS_MIN <= end:
        moments.append((RECORDS_MIN - 1, None))
        moments.sort(key=lambda moment: (moment[0], moment[1] is None))
    held, over = deque(window.failures), None
    for number, reason in moments:
        _forget(held, before=number + 1 - WINDOW_RECORDS)
        if reason is not None:
            held.append((number, reason))
        if over is None and (now := Window(number + 1, tuple(held))).is_over:
            over = now
    _forget(held, before=end - WINDOW_RECORDS)
    return Window(end, tuple(held)), over


def _forget(failures: deque[tuple[int, str]], *, before: int) -> None:
    while failures and failures[0][0] < before:
        failures.popleft()


def outcomes(slices: Iterable[Slice], letters: Iterable[DeadLetter]) -> tuple[int, list[tuple[int, str]]]:
    """How many records a batch has, and which of them failed: the parameters of `extend`. Dropped ones did not fail."""
    reasons = {(one.place.partition, one.place.offset): one.reason for one in letters if one.state == "open"}
    count, failures = 0, list[tuple[int, str]]()
    for part in sorted(slices, key=lambda part: part.partition):
        records = part.spans or part.events
        if reasons:
            offsets = sorted(one.place.offset for one in [*records, *part.dead_letters])
            keys = ((number, (part.partition, offset)) for number, offset in enumerate(offsets, start=count))
            failures += [(number, reasons[key]) for number, key in keys if key in reasons]
        count += len(records) + len(part.dead_letters)
    return count, failures


class ShareGuard:
    """One loop's watch over the share of its records that fail."""

    def __init__(self) -> None:
        self._window = Window()
        self._is_armed = True

    def weigh(self, slices: Iterable[Slice], letters: Iterable[DeadLetter]) -> Window:
        """The window as a batch would leave it; nothing is changed, because the batch may not be committed.

        Raises:
            TooManyDeadLetters: the share was over the limit after one of the records.
        """
        window, over = extend(self._window, *outcomes(slices, letters))
        if over is not None and self._is_armed:
            reasons = Counter(reason for _, reason in over.failures)
            raise TooManyDeadLetters(over.records, dict(reasons.most_common()))
        return window

    def adopt(self, window: Window) -> None:
        """The batch is committed."""
        self._window = window
        self._is_armed = self._is_armed or window.is_fine

    def disarm(self) -> None:
        """The generation is stopped. A person who lets it go on has seen the share: watch again once it is fine."""
        self._window, self._is_armed = Window(), False
