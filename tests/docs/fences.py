"""The examples of a Markdown page."""

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One fenced block."""

    language: str
    text: str


def examples(page: Path) -> list[Example]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Example(found["language"], found["text"]) for found in FENCE.finditer(text)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))
