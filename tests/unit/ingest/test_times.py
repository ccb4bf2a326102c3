"""Times as clients write them become exact microseconds."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode.times import NotATime, iso_us, number_us, parts_us, text_us


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1767225600", 1_767_225_600_000_000),
        ("4102444799", 4_102_444_799_000_000),
        ("4102444800", 4_102_444_800_000),
        ("1767225600123", 1_767_225_600_123_000),
        ("2026-01-01T00:00:00", 1_767_225_600_000_000),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600_000_000),
        ("2026-01-01t00:00:00.1234567z", 1_767_225_600_123_456),
    ],
)
def test_times_as_text(text: str, us: int) -> None:
    assert text_us(text) == us


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "9" * 5000, "²"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(NotATime):
        text_us(text)


def test_times_are_exact() -> None:
    assert parts_us(1767225600, 1500) == 1_767_225_601_500_000
    assert parts_us(1767225600.1, 0.2) == 1_767_225_600_100_200
    assert number_us(1767225600.123456, 1_000_000) == 1_767_225_600_123_456
    assert number_us(0.0000005, 1_000_000) == 0, "half to even"
    with pytest.raises(NotATime, match="no time zone"):
        iso_us("2026-01-01T00:00:00", zone_required=True)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.floats(min_value=0, max_value=5_000_000_000),
        # Exactly in the middle between two microseconds, where rounding is decided by the last digit.
        st.integers(min_value=0, max_value=4_000_000_000_000_000).map(lambda half_us: (half_us + 0.5) / 1_000_000),
    ),
    st.sampled_from([1_000, 1_000_000]),
)
def test_numbers_of_units_are_rounded_as_decimals_are(value: float, unit_us: int) -> None:
    assert number_us(value, unit_us) == int((Decimal(repr(value)) * unit_us).to_integral_value(ROUND_HALF_EVEN))
