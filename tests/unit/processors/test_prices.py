"""The price table: every model as the table computes it, providers by all their names, and what is left alone."""

import random
from datetime import UTC, datetime
from uuid import UUID

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot

from ingest.event import COST_NANOUSD_MAX, Event
from processors.prices import VERSION, cost_nanousd, find_model, price

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def event(**fields: object) -> Event:
    defaults: dict[str, object] = {
        "kind": "llm", "source": "native", "provider": "OPENAI", "model": "gpt-4o", "prompt_tokens": 1_000,
        "completion_tokens": 100, "flags": [],
    }  # fmt: skip
    times = {"started_at": NOW, "ended_at": NOW, "received_at": NOW}
    return Event(project_id=1, event_id=UUID(int=1), **times, **{**defaults, **fields})  # type: ignore[arg-type]


def priced(**fields: object) -> tuple[int | None, str | None]:
    one = event(**fields)
    price(one)
    return one.cost_nanousd, one.price_version


def test_every_model_of_the_table_costs_what_the_table_says() -> None:
    chosen = random.Random(5)
    models = [model for provider in get_snapshot().providers for model in provider.models]
    for model in models:
        prompt, output, cached, written = (chosen.randrange(0, 400_000) for _ in range(4))
        prices = model.get_prices(NOW)
        usage = Usage(
            input_tokens=prompt + cached + written,
            output_tokens=output,
            cache_read_tokens=cached,
            cache_write_tokens=written,
        )
        expected = round(prices.calc_price(usage)["total_price"] * 10**9)
        assert cost_nanousd(prices, (prompt, output, cached, written, 0, 0)) == expected, model.id
    assert len(models) > 1_000


def test_tokens_are_priced_by_their_kind() -> None:
    assert priced() == (1_000 * 2_500 + 100 * 10_000, VERSION)
    assert priced(cache_read_tokens=1_000)[0] == 3_500_000 + 1_000 * 1_250
    assert priced(reasoning_tokens=50)[0] == 3_500_000 + 50 * 10_000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("OPENAI", "gpt-4o"),
        ("openai", "GPT-4o"),
        ("AZURE", "gpt-4o"),
        ("ANTHROPIC", "claude-sonnet-4-5-20250929"),
        ("BEDROCK", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("GEMINI", "gemini-2.5-pro"),
        ("VERTEX_AI", "gemini-2.5-pro"),
        ("XAI", "grok-4"),
        ("CUSTOM", "gpt-4o-mini"),
    ],
)
def test_a_model_is_found_by_the_names_that_clients_send(provider: str, model: str) -> None:
    assert find_model(provider, model)
    assert (priced(provider=provider, model=model)[0] or 0) > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "no-such-model"},
        {"provider": "CUSTOM", "model": "my-own"},
        {"model": ""},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"kind": "tool"},
        {"kind": "span"},
    ],
)
def test_what_has_no_price_has_no_cost(fields: dict[str, object]) -> None:
    assert priced(**fields) == (None, None)


def test_a_reported_cost_wins() -> None:
    assert priced(cost_nanousd=7) == (7, None)
    assert priced(cost_nanousd=0) == (0, None)


def test_the_usage_of_a_span_is_priced_because_a_project_may_count_it() -> None:
    assert priced(kind="span", source="otlp") == (3_500_000, VERSION)


def test_a_cost_over_the_limit_is_clamped_and_flagged() -> None:
    one = event(prompt_tokens=2**40)
    price(one)
    assert (one.cost_nanousd, one.flags) == (COST_NANOUSD_MAX, ["cost_clamped"])
