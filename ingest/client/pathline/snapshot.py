"""What was logged is what is sent, though the caller goes on changing it: a copy, taken at once and cheaply.

The JSON of an event costs three times what `log` may take. Plain values are copied by the interpreter's own pickler
instead and become JSON in the sending thread; whatever is more than plain becomes JSON at once.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pathline.event import line

PROTOCOL = 5

_Dump = tuple[Callable[[object], None], list[bytes]]


class _NotPlain(Exception):
    """There is a value other than those that JSON knows."""


class _PlainPickler(pickle.Pickler):
    """Knows what the interpreter's own pickler does by itself: text, numbers, containers. Runs no code of others."""

    def reducer_override(self, obj: object) -> Any:
        """Called for everything else."""
        raise _NotPlain


class _Parts:
    """The file that the pickler writes to."""

    def __init__(self, parts: list[bytes]) -> None:
        self.write = parts.append


_idle: list[_Dump] = []
"""Picklers that nobody uses. Each is in use by one call at most, also when a signal's handler logs within that call."""


class Logged(NamedTuple):
    """What is known of an event when it is logged."""

    fields: Mapping[str, Any] | str
    """As they were then, or already as a line of JSON."""
    event_id: str
    logged_at: float
    ended_session_id: str | None
    """Set when these are the fields of a session's end."""


def snapshot(fields: Mapping[str, Any], event_id: str, logged_at: float, ended_session_id: str | None) -> bytes:
    """The event as it is now: one object without references, which the garbage collector has no work with.

    Raises:
        NotSerialisable: a value has no JSON. Of plain values that is found out only when they are sent.
    """
    pair = _idle.pop() if _idle else _new_dump()
    dump, parts = pair
    try:
        dump((fields, event_id, logged_at, ended_session_id))
    except Exception:  # noqa: BLE001 - not plain, nested too deeply, circular, changed meanwhile: JSON says what it is
        pair = dump, parts = _new_dump()
        dump((line(fields, event_id, logged_at, ended_session_id), event_id, logged_at, ended_session_id))
    taken = parts.pop()
    if parts:
        taken = b"".join((*parts, taken))
        parts.clear()
    _idle.append(pair)
    return taken


def logged(taken: bytes) -> Logged:
    """What `snapshot` took."""
    return Logged(*pickle.loads(taken))  # noqa: S301 - made by this process, and never left it


def _new_dump() -> _Dump:
    parts: list[bytes] = []
    pickler = _PlainPickler(_Parts(parts), PROTOCOL)
    # Without a memo: nothing is kept from one event to the next, and what is held twice is written twice, as in JSON.
    pickler.fast = True
    return pickler.dump, parts
