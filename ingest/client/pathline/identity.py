"""Ids of events and sessions: UUIDv7, made without a system call."""

import itertools
import os
import uuid
from collections.abc import Iterator

BLOCK_SECONDS = 0.016
"""Ids of so long a time share all but their last digits, so an id's own time may be earlier than its event by this."""

_SUFFIXES = [f"{number:03x}" for number in range(0x1000)]


class Identity:
    """Makes ids, in ascending order. Not shared over a fork: parent and child would make the same ones."""

    def __init__(self) -> None:
        """Take 61 random bits from the system, once: 26 name this process, the others are where its counter begins."""
        bits = int.from_bytes(os.urandom(8), "big")
        # Of the fourth group's first digit two bits are the variant.
        self._process = f"{bits & 0xFFF:03x}-{0x8000 | bits >> 12 & 0x3FFF:04x}-"
        self._blocks = itertools.count(bits >> 26 & 0x7FFFFFFFF)
        self._block: tuple[str, Iterator[str], float] = ("", iter(()), 0.0)

    def new(self, now: float) -> str:
        """The id of something that began at this Unix time in seconds."""
        beginning, suffixes, until = self._block
        if now < until and (suffix := next(suffixes, None)) is not None:
            return beginning + suffix
        text = f"{int(now * 1_000):012x}"
        beginning = f"{text[:8]}-{text[8:]}-7{self._process}{next(self._blocks) & 0xFFFFFFFFF:09x}"
        suffixes = iter(_SUFFIXES)
        suffix = next(suffixes)
        # Threads that begin a block at the same time have one each; the last one stays.
        self._block = (beginning, suffixes, now + BLOCK_SECONDS)
        return beginning + suffix


def is_event_id(value: object) -> bool:
    """Whether the server would take it as an event id."""
    if not isinstance(value, str):
        return False
    try:
        version = uuid.UUID(value).version
    except ValueError:
        return False
    return version is not None and 1 <= version <= 8
