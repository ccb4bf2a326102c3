"""Lone surrogates in JSON text: a code unit that no parser here takes, because no UTF-8 can hold it. Pure."""

import re

_SUSPECT = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"\\(?:"
    rb"(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|.)",
    re.DOTALL,
)
_REPLACEMENT = rb"\ufffd"


def without_lone_surrogates(text: bytes) -> bytes:
    """The same JSON text with lone surrogates replaced by U+FFFD; pairs stay."""
    if not _SUSPECT.search(text):
        return text
    # Every escape is visited in order, so that an escaped backslash before a `u` is not mistaken for one.
    return _ESCAPE.sub(_without_lone, text)


def readable_text(text: str) -> str:
    """`without_lone_surrogates` of JSON that stands in a text of its own, where no door has looked yet."""
    return without_lone_surrogates(text.encode()).decode() if "\\u" in text else text


def _without_lone(found: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if found["lone"] else found[0]
