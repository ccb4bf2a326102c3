"""Goal: tokens and reported costs are what the table of section 10 says. Method: one case a row."""

from typing import Any

import pytest

from ingest.decode.record import decode
from ingest.decode.usage import Tokens, native_tokens, response_tokens
from ingest.event import TOKENS_MAX
from tests.unit.ingest.logs import log, record


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (
            {
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5, "audio_tokens": 3},
                    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 4},
                }
            },
            Tokens(82, 26, 10, 5, 20, 3, 4),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 9,
                    "prompt_tokens_details": {"cache_write_details": {"write_5m_tokens": 1, "write_1h_tokens": 2}},
                }
            },
            Tokens(6, 0, 0, 3),
        ),
        ({"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}}, Tokens(5, 0, 9)),
        (
            {
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 4},
                    "output_tokens_details": {"reasoning_tokens": 5},
                }
            },
            Tokens(6, 4, 4, 0, 5),
        ),
        (
            {
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 9,
                    "cache_read_input_tokens": 4,
                    "cache_creation_input_tokens": 2,
                }
            },
            Tokens(10, 9, 4, 2),
        ),
        (
            {
                "usage": {
                    "input_tokens": 1,
                    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
                }
            },
            Tokens(1, 0, 0, 5),
        ),
        ({"input_tokens": 12}, Tokens(12)),
        (
            {"usage": {"inputTokens": 10, "outputTokens": 8, "cachedInputTokens": 3, "reasoningTokens": 2}},
            Tokens(7, 6, 3, 0, 2),
        ),
        (
            {
                "usageMetadata": {
                    "promptTokenCount": 10,
                    "toolUsePromptTokenCount": 5,
                    "candidatesTokenCount": 8,
                    "cachedContentTokenCount": 3,
                    "thoughtsTokenCount": 7,
                    "promptTokensDetails": [
                        {"modality": "AUDIO", "tokenCount": 2},
                        {"modality": "TEXT", "tokenCount": 8},
                    ],
                    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
                }
            },
            Tokens(10, 7, 3, 0, 7, 2, 1),
        ),
        ({"name": "cachedContents/1", "usageMetadata": {"totalTokenCount": 99}}, Tokens(0, 0, 0, 99)),
        (
            {
                "prompt_token_count": 1,
                "generation_token_count": 2,
                "prompt_cache_read_token_count": 3,
                "prompt_cache_write_token_count": 4,
            },
            Tokens(1, 2, 3, 4),
        ),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": "7"}}, Tokens()),
        ({"usage": {"completion_tokens": 7}}, Tokens(0, 7)),
        (
            {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 2}}},
            Tokens(7, cache_read_tokens=8, prompt_audio_tokens=2),
        ),
        (
            {"usage": {"completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 9}}},
            Tokens(0, 0, reasoning_tokens=9),
        ),
        (
            {"usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3}}},
            Tokens(4, 0, 2, 3),
        ),
        ({"usage": {"input_tokens": 9, "output_tokens": 2, "output_tokens_details": {}}}, Tokens(9, 2)),
        (
            {
                "usage": {
                    "input_tokens": 1,
                    "cache_creation_input_tokens": 7,
                    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
                }
            },
            Tokens(1, cache_write_tokens=7),
        ),
        ({"usage": {"inputTokens": 3, "cachedInputTokens": 9}}, Tokens(3, cache_read_tokens=9)),
        ({"usageMetadata": {"thoughtsTokenCount": 3}}, Tokens(reasoning_tokens=3)),
        ({"usageMetadata": {"promptTokenCount": 3, "cachedContentTokenCount": 9}}, Tokens(3, cache_read_tokens=9)),
        ({"generation_token_count": 2}, Tokens(0, 2)),
        ({}, Tokens()),
        ({"usage": {"prompt_tokens": True, "completion_tokens": 2.9}}, Tokens(0, 2)),
        ({"usage": []}, Tokens()),
        ({"usage": {"prompt_tokens": None, "completion_tokens": None, "input_tokens": 5}}, Tokens(5)),
    ],
)
def test_token_shapes(response: dict[str, Any], tokens: Tokens) -> None:
    flags: list[str] = []
    assert response_tokens(response, flags) == tokens
    assert flags == []


def test_native_usage_takes_any_shape() -> None:
    assert native_tokens({"prompt_tokens": 5, "cache_read_tokens": 9, "audio_tokens": 1}, []) == Tokens(
        5, 0, 9, 0, 0, 1
    )
    assert native_tokens({"inputTokens": 5}, []) == Tokens(5)
    assert native_tokens({"promptTokenCount": 5}, []) == Tokens(5)
    assert native_tokens({"usage": {"input_tokens": 5}}, []) == Tokens(5)
    assert native_tokens("many", []) == Tokens()


def test_absurd_counts_and_costs_are_clamped_and_flagged() -> None:
    event = log({}, {"usage": {"prompt_tokens": 2**70, "completion_tokens": 1e300, "cost": 1e9}})
    assert (event.prompt_tokens, event.completion_tokens) == (TOKENS_MAX, TOKENS_MAX)
    assert event.cost_nanousd == 10**15
    assert event.flags == ["tokens_clamped", "cost_clamped"]
    native = decode(record("native", {"usage": {"prompt_tokens": 2**70}}))
    assert (native.prompt_tokens, native.flags) == (TOKENS_MAX, ["tokens_clamped"])


@pytest.mark.parametrize(
    ("response", "extra", "nanousd"),
    [
        ({"usage": {"cost": 0.1}}, {"providerResponse": {"status": 200, "cost": 0.0000000025}}, 2),
        ({"usage": {"cost": 0.1}}, {"providerResponse": {"status": 200, "cost": -1}}, 100_000_000),
        ({"usage": {"cost": 0, "cost_details": {"upstream_inference_cost": 2}}}, {}, 2_000_000_000),
        ({"usage": {"cost": "1"}}, {}, None),
        ({"usage": {"cost": 2, "cost_details": {"upstream_inference_cost": 3}}}, {}, 2_000_000_000),
        ({"usage": {"cost": -2}}, {}, None),
        ({}, {"providerResponse": {"status": 200, "cost": 0.0000000035}}, 4),
        ({}, {"providerResponse": {"status": 200, "cost": 10**6}}, 10**15),
        ({"usage": {"cost": 0.1}}, {"providerResponse": {"status": 200, "cost": True}}, 100_000_000),
        ({}, {"providerResponse": {"status": 200, "cost": 0}}, 0),
    ],
)
def test_reported_costs(response: Any, extra: Any, nanousd: int | None) -> None:
    assert log({}, response, **extra).cost_nanousd == nanousd
