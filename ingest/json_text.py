"""What is made of a body's JSON text before it is parsed: UTF-8 checked, lone surrogates and U+0000 dealt with."""

import re

from ingest.decode.surrogates import without_lone_surrogates
from ingest.event import InvalidEvent

_NUL = re.compile(rb"\\(?:(?P<nul>u0000)|.)", re.DOTALL)


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
    return without_lone_surrogates(body)


def without_nul(text: bytes) -> bytes:
    """JSON text whose strings have no U+0000: a column of text cannot hold it."""
    return _NUL.sub(lambda found: b"" if found["nul"] else found[0], text) if rb"\u0000" in text else text
