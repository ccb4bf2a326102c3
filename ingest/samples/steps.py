"""The kinds of step that a sample session is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation of an agent. Steps stand in the order in which they begin."""

    path: str
    seconds: float
    """How long it takes, give or take the scheduler's jitter."""
    status: int = 200
    together: bool = False
    """Begins with the step before it instead of after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall(Step):
    """A chat completion. With a status that is an error, `reply` is the provider's message."""

    model: str
    prompt: str
    reply: str
    context_tokens: int = 0
    """Tokens of files and instructions that are sent along and that the sample does not spell out."""
    cached: bool = False
    """Whether the provider has that context in its cache."""
    thread: bool = False
    """Whether the messages before it in the session are sent again, as in a conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(Step):
    """A function that the agent calls."""

    tool: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSearch(Step):
    """A look-up of similar texts."""

    database: str
    text: str
    matches: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStep(Step):
    """A step of the program itself that someone wanted to see."""

    name: str
    meta: Mapping[str, Any]
    message: str
