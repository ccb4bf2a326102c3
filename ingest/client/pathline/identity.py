"""Ids of events and sessions: UUIDv7, made without a system call."""

import itertools
import os
import uuid


class Identity:
    """Makes ids. Not shared over a fork: parent and child would make the same ones."""

    def __init__(self) -> None:
        """Take 74 random bits from the system, once: 42 name this process, the others are where its counter begins."""
        bits = int.from_bytes(os.urandom(10), "big")
        # Of the fourth group's first digit two bits are the variant.
        self._head = f"{bits & 0xFFF:03x}-{0x8000 | bits >> 12 & 0x3FFF:04x}-"
        self._tail = f"{bits >> 26 & 0xFFFF:04x}"
        self._counter = itertools.count(bits >> 42 & 0x7FFFFFFF)
        self._latest = (0, "00000000-0000-7")

    def new(self, now_ns: int) -> str:
        """The id of something that began at this Unix time in nanoseconds."""
        now_ms = now_ns // 1_000_000
        known_ms, prefix = self._latest
        if now_ms != known_ms:
            text = f"{now_ms:012x}"
            prefix = f"{text[:8]}-{text[8:]}-7"
            self._latest = (now_ms, prefix)
        return f"{prefix}{self._head}{next(self._counter) & 0xFFFFFFFF:08x}{self._tail}"


def is_event_id(value: object) -> bool:
    """Whether the server would take it as an event id."""
    if not isinstance(value, str):
        return False
    try:
        version = uuid.UUID(value).version
    except ValueError:
        return False
    return version is not None and 1 <= version <= 8
