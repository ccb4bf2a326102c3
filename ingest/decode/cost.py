"""Reported costs as integer nano-USD (1 USD = 10⁹), rounded half to even."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from ingest.event import COST_NANOUSD_MAX

NANOUSD = 1_000_000_000


def nanousd(usd: float) -> int:
    """A finite number of USD in nano-USD, exact up to the rounding; not limited."""
    if type(usd) is int:
        return usd * NANOUSD
    return int((Decimal(repr(usd)) * NANOUSD).to_integral_value(ROUND_HALF_EVEN))


def usage_cost(usage: Any, flags: list[str]) -> int | None:
    """The cost that a response's `usage` reports, in nano-USD: `cost` (OpenRouter), else its upstream's.

    Only amounts above 0 count. One over the limit is clamped and flagged `cost_clamped`.
    """
    if not isinstance(usage, dict):
        return None
    details = usage.get("cost_details")
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    for usd in (usage.get("cost"), upstream):
        if isinstance(usd, int | float) and not isinstance(usd, bool) and usd > 0:
            amount = nanousd(usd)
            if amount > COST_NANOUSD_MAX:
                flags.append("cost_clamped")
                return COST_NANOUSD_MAX
            return amount
    return None
