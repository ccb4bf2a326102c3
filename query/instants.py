"""Times and amounts as answers show them, and time windows as statements take them."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LATEST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
NANOUSD_PER_USD = 1_000_000_000


def iso(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`, UTC; microseconds are cut, so an instant never shows later than it was."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_or_none(moment: datetime | None) -> str | None:
    """As `iso`; None stays None."""
    return None if moment is None else iso(moment)


def milliseconds(microseconds: int) -> float:
    """Milliseconds, whole ones as an integer so that JSON shows `1250` and not `1250.0`."""
    whole, rest = divmod(microseconds, 1000)
    return microseconds / 1000 if rest else whole


def usd(nanousd: int) -> float:
    """USD from nano-USD; 0 as an integer."""
    return nanousd / NANOUSD_PER_USD if nanousd else 0


def mean_ms(microseconds_sum: int, count: int) -> float:
    """Mean in milliseconds of `count` durations; 0 of none."""
    return microseconds_sum / 1000 / count if count else 0


class Window:
    """An open interval of time: strictly after `start`, strictly before `end`; None is unbounded."""

    __slots__ = ("end", "start")

    def __init__(self, start: datetime | None = None, end: datetime | None = None) -> None:
        self.start = start
        self.end = end

    @classmethod
    def of_unix_ms(cls, start_ms: float | None, end_ms: float | None) -> "Window":
        """The window between two Unix times in milliseconds, fractions allowed.

        Stored times are whole microseconds, so a bound between two of them moves outwards to the next whole one
        and admits exactly the same times. A bound outside the years 1 to 9999 admits all, or none.
        """
        start = None if start_ms is None else _clamped(math.floor, start_ms)
        end = None if end_ms is None else _clamped(math.ceil, end_ms)
        return cls(start, end)

    @property
    def first_day(self) -> date | None:
        """The earliest UTC day that a start inside the window can have."""
        return None if self.start is None else self.start.date()

    @property
    def last_day(self) -> date | None:
        """The latest UTC day that a start inside the window can have."""
        return None if self.end is None else self.end.date()


def _clamped(whole: Callable[[float], int], unix_ms: float) -> datetime:
    if unix_ms * 1000 >= LATEST_US:
        microseconds = LATEST_US
    elif unix_ms * 1000 <= EARLIEST_US:
        microseconds = EARLIEST_US
    else:
        floor_ms = math.floor(unix_ms)
        # Split first: a float of milliseconds times 1000 may lose the last microsecond.
        microseconds = floor_ms * 1000 + whole((unix_ms - floor_ms) * 1000)
    return EPOCH + timedelta(microseconds=microseconds)
