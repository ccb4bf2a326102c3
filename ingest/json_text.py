"""What is made of a body's JSON text before it is parsed: UTF-8 checked, lone surrogates and U+0000 dealt with."""

import re

from ingest.event import InvalidEvent

_SURROGATE_SUSPECT = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"\\(?:"
    rb"(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|.)",
    re.DOTALL,
)
_NUL = re.compile(rb"\\(?:(?P<nul>u0000)|.)", re.DOTALL)
_REPLACEMENT = rb"\ufffd"


def readable(body: bytes) -> bytes:
    """The body as text that every JSON parser takes: lone surrogates are replaced by U+FFFD, pairs stay.

    Raises:
        InvalidEvent: it is not UTF-8.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as fault:
            text = f"Invalid JSON: not UTF-8 at byte {fault.start}"
            raise InvalidEvent(text, code="invalid_json") from fault
    if _SURROGATE_SUSPECT.search(body):
        # Every escape is visited in order, so that an escaped backslash before a `u` is not mistaken for one.
        body = _ESCAPE.sub(_without_lone, body)
    return body


def without_nul(text: bytes) -> bytes:
    """JSON text whose strings have no U+0000: a column of text cannot hold it."""
    return _NUL.sub(lambda found: b"" if found["nul"] else found[0], text) if rb"\u0000" in text else text


def _without_lone(found: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if found["lone"] else found[0]
