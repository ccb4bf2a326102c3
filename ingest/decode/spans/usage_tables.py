"""Tokens and cost: the tables of otlp.md section 9, as data."""

from typing import NamedTuple

COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning", "audio_in", "audio_out", "total")

Sources = tuple[str | tuple[str, ...], ...]
"""Where a count may stand, first present wins; a tuple of names is summed."""


class Family(NamedTuple):
    """One column: count -> sources, which are attributes, or members of the JSON in the attribute `within`."""

    counts: dict[str, Sources]
    within: str | None = None
    is_disjoint: bool = False
    """The input leaves out cached, cache-write and audio tokens already, the output reasoning and audio."""
    details: tuple[tuple[str, str, str], ...] = ()
    """Further places, after `counts`: (count, attribute with JSON, member)."""


LANGFUSE = Family(
    {
        "input": ("input", "prompt_tokens"),
        "output": ("output", "completion_tokens"),
        "cache_read": ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens"),
        "cache_write": (
            ("input_cache_creation", "input_cache_creation_5m", "input_cache_creation_1h"),
            "input_cache_write",
            "cache_creation_input_tokens",
        ),
        "reasoning": ("output_reasoning_tokens",),
        "audio_in": ("input_audio_tokens",),
        "audio_out": ("output_audio_tokens",),
        "total": ("total",),
    },
    within="langfuse.observation.usage_details",
    is_disjoint=True,
)

GEN_AI = Family(
    {
        "input": ("gen_ai.usage.input_tokens",),
        "output": ("gen_ai.usage.output_tokens",),
        "cache_read": ("gen_ai.usage.cache_read.input_tokens",),
        "cache_write": ("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
        "reasoning": ("gen_ai.usage.reasoning.output_tokens",),
        "audio_in": ("gen_ai.usage.audio.input_tokens",),
        "audio_out": ("gen_ai.usage.audio.output_tokens",),
        "total": ("gen_ai.usage.total_tokens",),
    },
    details=(
        ("cache_read", "gen_ai.usage.input_token_details", "cache_read"),
        ("cache_write", "gen_ai.usage.input_token_details", "cache_creation"),
        ("reasoning", "gen_ai.usage.output_token_details", "reasoning"),
    ),
)
"""With LangSmith's details."""

OPENLLMETRY = Family(
    {
        "input": ("gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
        "output": ("gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
        "cache_read": ("gen_ai.usage.cache_read_input_tokens",),
        "cache_write": ("gen_ai.usage.cache_creation_input_tokens",),
        "reasoning": ("gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"),
        "total": ("llm.usage.total_tokens",),
    }
)

OPENINFERENCE = Family(
    {
        "input": ("llm.token_count.prompt", "decision.token_count.input"),
        "output": ("llm.token_count.completion", "decision.token_count.output"),
        "cache_read": (
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
        ),
        "cache_write": ("llm.token_count.prompt_details.cache_write",),
        "reasoning": ("llm.token_count.completion_details.reasoning",),
        "audio_in": ("llm.token_count.prompt_details.audio",),
        "audio_out": ("llm.token_count.completion_details.audio",),
        "total": ("llm.token_count.total",),
    }
)

MLFLOW = Family(
    {
        "input": ("input_tokens",),
        "output": ("output_tokens",),
        "cache_read": ("cache_read_input_tokens",),
        "cache_write": ("cache_creation_input_tokens",),
        "total": ("total_tokens",),
    },
    within="mlflow.chat.tokenUsage",
)

FAMILIES = (LANGFUSE, GEN_AI, OPENLLMETRY, OPENINFERENCE, MLFLOW)
"""In the order in which they are tried."""


def _attributes(family: Family) -> set[str]:
    """Every attribute that a family reads."""
    if family.within is not None:
        return {family.within}
    sources = {source for sources in family.counts.values() for source in sources if isinstance(source, str)}
    return sources | {attribute for _, attribute, _ in family.details}


FAMILY_OF = {attribute: place for place, family in enumerate(FAMILIES) for attribute in _attributes(family)}
"""Attribute -> place in `FAMILIES`: most spans have one family, and the others need no look."""
