"""Goal: times and amounts are shown, and windows taken, exactly as the specification says."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from query.instants import Window, iso, mean_ms, milliseconds, usd

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NEW_YEAR_MS = 1_767_225_600_000


def test_p_r_1_times_are_utc_with_milliseconds_cut() -> None:
    assert iso(NEW_YEAR) == "2026-01-01T00:00:00.000Z"
    assert iso(NEW_YEAR.replace(microsecond=999_999)) == "2026-01-01T00:00:00.999Z"
    assert iso(NEW_YEAR.astimezone(timezone(timedelta(hours=5)))) == "2026-01-01T00:00:00.000Z"
    assert iso(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000Z"


def test_amounts() -> None:
    assert (milliseconds(1_250_000), milliseconds(1_500)) == (1250, 1.5)
    assert (usd(12_340_000), usd(0)) == (0.01234, 0)
    assert (mean_ms(3_000, 2), mean_ms(0, 0)) == (1.5, 0)


@pytest.mark.parametrize(
    ("unix_ms", "start_us", "end_us"),
    [
        (NEW_YEAR_MS, 0, 0),
        (NEW_YEAR_MS + 0.25, 250, 250),
        # Between two microseconds, as near as a float comes: the bound moves outwards.
        (NEW_YEAR_MS + 0.12524, 125, 126),
    ],
)
def test_a_bound_between_two_microseconds_admits_the_same_times(unix_ms: float, start_us: int, end_us: int) -> None:
    window = Window.of_unix_ms(unix_ms, unix_ms)
    assert window.start == NEW_YEAR + timedelta(microseconds=start_us)
    assert window.end == NEW_YEAR + timedelta(microseconds=end_us)


def test_bounds_beyond_the_calendar_are_clamped() -> None:
    window = Window.of_unix_ms(-1e300, 1e300)
    assert window.start == datetime.min.replace(tzinfo=UTC)
    assert window.end == datetime.max.replace(tzinfo=UTC)
    assert (Window().first_day, Window().last_day) == (None, None)
