"""Ids of events and sessions: UUIDv7, made without a system call."""

import os
import random
import uuid

_RANDOM_BITS = 76
_VARIANT_MASK, _VARIANT = ~(0b11 << 62), 0b10 << 62


class Identity:
    """Makes ids. Not shared over a fork: parent and child would make the same ones."""

    def __init__(self) -> None:
        """Seed from the system once; 74 random bits within a millisecond are then as good as new ones."""
        self._bits = random.Random(os.urandom(32)).getrandbits  # noqa: S311 - an id is no secret
        self._latest = (0, "00000000-0000-7")

    def new(self, now_ns: int) -> str:
        """The id of something that began at this Unix time in nanoseconds."""
        now_ms = now_ns // 1_000_000
        known_ms, prefix = self._latest
        if now_ms != known_ms:
            text = f"{now_ms:012x}"
            prefix = f"{text[:8]}-{text[8:]}-7"
            self._latest = (now_ms, prefix)
        text = f"{self._bits(_RANDOM_BITS) & _VARIANT_MASK | _VARIANT:019x}"
        return f"{prefix}{text[:3]}-{text[3:7]}-{text[7:]}"


def is_event_id(value: object) -> bool:
    """Whether the server would take it as an event id."""
    if not isinstance(value, str):
        return False
    try:
        version = uuid.UUID(value).version
    except ValueError:
        return False
    return version is not None and 1 <= version <= 8
