"""Times as clients write them, made Unix microseconds. Exact: integers and decimals, no float sums."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from ingest.event import to_us

_SECONDS_BELOW = 4_102_444_800
"""All digits mean epoch seconds below this (the year 2100), else epoch milliseconds (ingest.md section 6)."""
_DIGITS_MAX = 20
_PLAIN_BELOW = 2**31
"""Doubles below this are a quarter of a microsecond apart at most when they are seconds."""


class NotATime(ValueError):
    """The text or number is no point in time; its message says why, for the sender."""


def number_us(value: float, unit_us: int) -> int:
    """A number of units as microseconds, rounded half to even; `unit_us` is the unit's length."""
    if type(value) is int:
        return value * unit_us
    if 0 <= value < _PLAIN_BELOW:
        # The product is less than a quarter away from the exact one: where it is that near to a whole number, the exact
        # one rounds to it too. Only what lies near the middle between two needs decimals, which cost twenty times more.
        product = value * unit_us
        nearest = round(product)
        if abs(product - nearest) <= 0.25:
            return nearest
    return int((Decimal(repr(value)) * unit_us).to_integral_value(ROUND_HALF_EVEN))


def parts_us(seconds: float, milliseconds: float) -> int:
    """`{seconds, milliseconds}` as Unix microseconds. Both may be fractional; milliseconds may exceed 999."""
    if type(seconds) is int and type(milliseconds) is int:
        return seconds * 1_000_000 + milliseconds * 1_000
    exact = Decimal(repr(seconds)) * 1_000_000 + Decimal(repr(milliseconds)) * 1_000
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def iso_us(text: str, *, zone_required: bool) -> int:
    """An ISO 8601 date-time as Unix microseconds; finer digits are cut.

    Without a zone it is UTC, or refused when `zone_required`.

    Raises:
        NotATime: not a date-time, or without the zone that is required.
    """
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as fault:
        raise NotATime(f"'{text[:64]}' is not a date-time") from fault
    if moment.tzinfo is None:
        if zone_required:
            raise NotATime(f"'{text[:64]}' has no time zone, add Z or an offset")
        moment = moment.replace(tzinfo=UTC)
    return to_us(moment)


def text_us(text: str) -> int:
    """A time that Helicone's clients send as text: epoch digits, or ISO 8601 that is UTC without a zone.

    Raises:
        NotATime: neither.
    """
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
        number = int(text)
        return number * (1_000_000 if number < _SECONDS_BELOW else 1_000)
    return iso_us(text, zone_required=False)
