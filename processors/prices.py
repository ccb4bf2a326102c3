"""What an event cost whose client reported no cost: its tokens times the price table of the package genai-prices.

The table is the one that the installed package carries; nothing is fetched. `VERSION` names it, and each priced
event keeps that name, so that a price update is a replay with a newer package.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from operator import mul

from genai_prices import Usage, __version__
from genai_prices.data_snapshot import DataSnapshot, find_provider_by_id, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from ingest.event import COST_NANOUSD_MAX, Event

VERSION = __version__
"""Of the price table."""

NANOUSD_PER_USD = 10**9
_PROBE_TOKENS = 10**6
"""Prices are quoted for this many tokens, so that the price of this many is exact."""
_SCALE = 10**12
"""Rates are integers in this fraction of a nano-USD, finer than any price of the table."""

_TABLE_PROVIDERS = {"bedrock": "aws", "gemini": "google", "vertex_ai": "google", "vertex": "google", "xai": "x-ai"}
"""Providers as clients name them, where the table's name is another."""

Counts = tuple[int, int, int, int, int, int]
"""Tokens, disjoint: input, output, cache read, cache write, audio in, audio out. Reasoning is output."""

Rates = tuple[int, ...]
"""What a request costs before its first token, then what a token costs, in the order of `Counts`; scaled."""


def price(event: Event) -> None:
    """Give an event a cost if it used tokens of a model whose price is known; one that has a cost keeps it.

    Only what can count towards a session's cost is priced: `llm` events, and spans, whose usage counts if their
    project wishes it. Half a nano-USD is rounded to even (ingest.md section 10). A cost over the limit is clamped and
    flagged `cost_clamped`.
    """
    if event.cost_nanousd is not None or not (event.kind == "llm" or (event.kind == "span" and event.source == "otlp")):
        return
    counts = (
        event.prompt_tokens,
        event.completion_tokens + event.reasoning_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        event.prompt_audio_tokens,
        event.completion_audio_tokens,
    )
    if not any(counts) or (model := find_model(event.provider, event.model)) is None:
        return
    cost = cost_nanousd(model.get_prices(event.started_at), counts)
    if cost > COST_NANOUSD_MAX:
        cost = COST_NANOUSD_MAX
        event.flags.append("cost_clamped")
    event.cost_nanousd = cost
    event.price_version = VERSION


@lru_cache(maxsize=4_096)
def find_model(provider: str, model: str) -> ModelInfo | None:
    """The table's entry for a model, or None. A provider that the table does not know is found by the model's name."""
    table: DataSnapshot = get_snapshot()
    name = provider.lower()
    name = _TABLE_PROVIDERS.get(name, name)
    known = find_provider_by_id(table.providers, name)
    try:
        return table.find_provider_model(model, known, None, None)[1]
    except LookupError:
        return None


def cost_nanousd(prices: ModelPrice, counts: Counts) -> int:
    """Cost of a request with these tokens, rounded half to even."""
    rates = rates_of(prices)
    if rates is None:
        return int(_table_cost(prices, counts).to_integral_value(ROUND_HALF_EVEN))
    scaled: int = rates[0] + sum(map(mul, counts, rates[1:]))
    whole, rest = divmod(scaled, _SCALE)
    return whole + int(rest * 2 > _SCALE or (rest * 2 == _SCALE and whole % 2 == 1))


_rates: dict[int, Rates | None] = {}
"""By identity: the entries of the table live as long as the process."""


def rates_of(prices: ModelPrice) -> Rates | None:
    """What a request and one token of each kind cost; None if that depends on how many tokens there are.

    The table's own arithmetic takes longer than all the rest of an event's decoding.
    """
    key = id(prices)
    if key not in _rates:
        tiered = any(isinstance(value, TieredPrices) for value in vars(prices).values())
        _rates[key] = None if tiered else _probe(prices)
    return _rates[key]


def _probe(prices: ModelPrice) -> Rates | None:
    fee = _table_cost(prices, (0, 0, 0, 0, 0, 0))
    scaled = [fee * _SCALE]
    for kind in range(6):
        single = [0] * 6
        single[kind] = _PROBE_TOKENS
        scaled.append((_table_cost(prices, single) - fee) / _PROBE_TOKENS * _SCALE)
    rates = tuple(map(int, scaled))
    return rates if all(rate == exact for rate, exact in zip(rates, scaled, strict=True)) else None


def _table_cost(prices: ModelPrice, counts: Sequence[int]) -> Decimal:
    """Nano-USD by the table's arithmetic, in which input includes what was cached or audio."""
    prompt, output, cache_read, cache_write, audio_in, audio_out = counts
    usage = Usage(
        input_tokens=prompt + cache_read + cache_write + audio_in,
        output_tokens=output + audio_out,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        input_audio_tokens=audio_in,
        output_audio_tokens=audio_out,
        # Where the table has prices for cached audio: what was cached is taken for text.
        cache_audio_read_tokens=0,
        cache_audio_write_tokens=0,
    )
    return prices.calc_price(usage)["total_price"] * NANOUSD_PER_USD
