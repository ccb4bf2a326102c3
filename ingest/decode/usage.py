"""Token counts: the shapes that providers report, as data (ingest.md section 10).

Shapes are recognised by their fields, whatever the route; the first that matches wins.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ingest.event import TOKENS_MAX, Event


class Tokens(NamedTuple):
    """Counts as they are stored: prompt net of cache and audio, completion net of reasoning and audio."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0


NO_TOKENS = Tokens()

_Path = tuple[str, ...]
"""Keys from the usage object down to a count."""


@dataclass(eq=False, kw_only=True)
class Shape:
    """Where one provider's usage object keeps each count. Several paths are summed."""

    any_of: tuple[str, ...]
    """The shape matches when the object has one of these keys ..."""
    and_any_of: tuple[str, ...] = ()
    """... and, unless this is empty, one of these."""
    prompt: tuple[_Path, ...] = ()
    completion: tuple[_Path, ...] = ()
    cache_read: tuple[_Path, ...] = ()
    cache_write: tuple[_Path, ...] = ()
    cache_write_parts: tuple[_Path, ...] = ()
    """Summed when `cache_write` is missing or 0."""
    reasoning: tuple[_Path, ...] = ()
    prompt_audio: tuple[_Path, ...] = ()
    completion_audio: tuple[_Path, ...] = ()
    prompt_is_net: bool = False
    """The prompt count leaves out cached, cache-write and audio tokens already."""
    completion_is_net: bool = False
    reasoning_is_beside: bool = False
    """Reasoning is counted beside the completion, not inside it."""
    by_key: dict[str, list[tuple[int, _Path]]] = field(init=False)
    """All paths under their first key, as (column, keys below): a short look-up, because it runs per event."""

    def __post_init__(self) -> None:
        columns = (
            self.prompt,
            self.completion,
            self.cache_read,
            self.cache_write,
            self.cache_write_parts,
            self.reasoning,
            self.prompt_audio,
            self.completion_audio,
        )
        self.by_key = {}
        for column, paths in enumerate(columns):
            for path in paths:
                self.by_key.setdefault(path[0], []).append((column, path[1:]))


NATIVE_NET = Shape(
    any_of=("cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens"),
    prompt=(("prompt_tokens",),),
    completion=(("completion_tokens",),),
    cache_read=(("cache_read_tokens",),),
    cache_write=(("cache_write_tokens",),),
    reasoning=(("reasoning_tokens",),),
    prompt_audio=(("audio_tokens",),),
    prompt_is_net=True,
    completion_is_net=True,
)
"""native.md: counts that are net already."""

OPENAI_CHAT = Shape(
    any_of=("prompt_tokens", "completion_tokens"),
    prompt=(("prompt_tokens",),),
    completion=(("completion_tokens",),),
    cache_read=(("prompt_tokens_details", "cached_tokens"),),
    cache_write=(("prompt_tokens_details", "cache_write_tokens"),),
    cache_write_parts=(
        ("prompt_tokens_details", "cache_write_details", "write_5m_tokens"),
        ("prompt_tokens_details", "cache_write_details", "write_1h_tokens"),
        ("cache_write_details", "write_5m_tokens"),
        ("cache_write_details", "write_1h_tokens"),
    ),
    reasoning=(("completion_tokens_details", "reasoning_tokens"),),
    prompt_audio=(("prompt_tokens_details", "audio_tokens"),),
    completion_audio=(("completion_tokens_details", "audio_tokens"),),
)

OPENAI_RESPONSES = Shape(
    any_of=("input_tokens", "output_tokens"),
    and_any_of=("input_tokens_details", "output_tokens_details"),
    prompt=(("input_tokens",),),
    completion=(("output_tokens",),),
    cache_read=(("input_tokens_details", "cached_tokens"),),
    cache_write=(("input_tokens_details", "cache_write_tokens"),),
    reasoning=(("output_tokens_details", "reasoning_tokens"),),
)

ANTHROPIC = Shape(
    any_of=("input_tokens", "output_tokens"),
    prompt=(("input_tokens",),),
    completion=(("output_tokens",),),
    cache_read=(("cache_read_input_tokens",),),
    cache_write=(("cache_creation_input_tokens",),),
    cache_write_parts=(
        ("cache_creation", "ephemeral_5m_input_tokens"),
        ("cache_creation", "ephemeral_1h_input_tokens"),
    ),
    prompt_is_net=True,
    completion_is_net=True,
)

VERCEL = Shape(
    any_of=("inputTokens", "outputTokens"),
    prompt=(("inputTokens",),),
    completion=(("outputTokens",),),
    cache_read=(("cachedInputTokens",),),
    reasoning=(("reasoningTokens",),),
)

GEMINI = Shape(
    any_of=("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount"),
    prompt=(("promptTokenCount",), ("toolUsePromptTokenCount",)),
    completion=(("candidatesTokenCount",),),
    cache_read=(("cachedContentTokenCount",),),
    reasoning=(("thoughtsTokenCount",),),
    prompt_audio=(("promptTokensDetails", "AUDIO"),),
    completion_audio=(("candidatesTokensDetails", "AUDIO"),),
    reasoning_is_beside=True,
)

GEMINI_CACHE = Shape(
    any_of=("totalTokenCount",),
    cache_write=(("totalTokenCount",),),
    prompt_is_net=True,
    completion_is_net=True,
)
"""Explicit creation of a cached content."""

PLAIN = Shape(
    any_of=("prompt_token_count", "generation_token_count"),
    prompt=(("prompt_token_count",),),
    completion=(("generation_token_count",),),
    cache_read=(("prompt_cache_read_token_count",),),
    cache_write=(("prompt_cache_write_token_count",),),
    prompt_is_net=True,
    completion_is_net=True,
)

ANTHROPIC_COUNT = Shape(
    any_of=("input_tokens",),
    prompt=(("input_tokens",),),
    prompt_is_net=True,
    completion_is_net=True,
)

_IN_USAGE = (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC, VERCEL)
_IN_NATIVE = (NATIVE_NET, *_IN_USAGE, GEMINI, PLAIN)
"""A native event's `usage` is the usage object itself, of any provider."""


def native_tokens(usage: Any, flags: list[str]) -> Tokens:
    """The counts of a native event's `usage`: any shape, bare or still inside `usage` or `usageMetadata`."""
    if not isinstance(usage, dict):
        return NO_TOKENS
    for shape in _IN_NATIVE:
        if _matches(shape, usage):
            return _read(shape, usage, flags)
    return response_tokens(usage, flags)


def response_tokens(response: dict[str, Any], flags: list[str]) -> Tokens:
    """The counts of a response, from its `usage`, `usageMetadata`, `name` and the counts at its root."""
    usage = response.get("usage")
    if isinstance(usage, dict):
        for shape in _IN_USAGE:
            if _matches(shape, usage):
                return _read(shape, usage, flags)
    elif _matches(ANTHROPIC_COUNT, response):
        return _read(ANTHROPIC_COUNT, response, flags)
    metadata = response.get("usageMetadata")
    if isinstance(metadata, dict):
        name = response.get("name")
        cache_created = isinstance(name, str) and "cachedContent" in name
        shape = GEMINI_CACHE if cache_created else GEMINI
        if _matches(shape, metadata):
            return _read(shape, metadata, flags)
    if _matches(PLAIN, response):
        return _read(PLAIN, response, flags)
    return NO_TOKENS


def set_tokens(event: Event, tokens: Tokens) -> None:
    """Put the counts into the event."""
    (
        event.prompt_tokens,
        event.completion_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        event.reasoning_tokens,
        event.prompt_audio_tokens,
        event.completion_audio_tokens,
    ) = tokens


def _matches(shape: Shape, usage: dict[str, Any]) -> bool:
    for key in shape.any_of:
        if usage.get(key) is not None:
            return not shape.and_any_of or any(also in usage for also in shape.and_any_of)
    return False


def _read(shape: Shape, usage: dict[str, Any], flags: list[str]) -> Tokens:
    counts = [0] * 8
    by_key = shape.by_key
    for key, value in usage.items():
        if key in by_key:
            for column, below in by_key[key]:
                plain = type(value) is int and value >= 0 and not below
                counts[column] += value if plain else _count(value, below)
    prompt, completion, cache_read, cache_write, cache_write_parts, reasoning, audio_in, audio_out = counts
    cache_write = cache_write or cache_write_parts
    if not shape.prompt_is_net:
        inside = cache_read + cache_write + audio_in
        # A prompt smaller than its parts was net already; only audio is never left out by anyone.
        prompt = max(prompt - (inside if inside <= prompt else audio_in), 0)
    if not shape.completion_is_net:
        completion = max(completion - audio_out - (0 if shape.reasoning_is_beside else reasoning), 0)
    tokens = Tokens(prompt, completion, cache_read, cache_write, reasoning, audio_in, audio_out)
    if sum(counts) > TOKENS_MAX and max(tokens) > TOKENS_MAX:
        flags.append("tokens_clamped")
        return Tokens(*(min(count, TOKENS_MAX) for count in tokens))
    return tokens


def _count(value: Any, below: _Path) -> int:
    """The count at the end of a path; 0 when it is missing, negative or no number."""
    for key in below:
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list:
            value = _of_modality(value, key)
        else:
            return 0
    if type(value) is int or type(value) is float:
        return max(int(value), 0)
    return 0


def _of_modality(details: list[Any], modality: str) -> int:
    """Gemini splits counts by modality: `[{"modality": "AUDIO", "tokenCount": 3}, …]`."""
    total = 0
    for detail in details:
        if isinstance(detail, dict) and detail.get("modality") == modality:
            count = detail.get("tokenCount")
            total += _count(count, ())
    return total
