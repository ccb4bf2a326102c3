"""What a project's requests name, for pick lists: session names, users and properties. Pure.

An entry has a count and a first and a last use: sums and extremes, like every roll-up. The values of one property are
many or few; only the client knows. Long ones are ids or prose that nobody picks from a list, and count as one.
"""

from datetime import datetime

import msgspec

from ingest.event import REQUEST_KINDS, Event
from processors.batch import Place

LISTED_CHARACTERS_MAX = 200
"""Of a value. Longer ones, and empty ones, are counted together under the empty value of their list."""
OWN_PREFIX = "pathline."
"""Properties with such a name are Pathline's own notes about an event and in no list."""


class Use(msgspec.Struct, gc=False):
    """How often a value was used, and when first and last."""

    first_used_at: datetime
    last_used_at: datetime
    count: int = 0


Entry = tuple[int, str, str, int, str, str]
"""Project, list (`session_name`, `user`, `property`), topic, partition, property's name or "", value."""


def uses_of(event: Event) -> list[tuple[str, str, str]]:
    """List, property's name and value of everything that an event names. Users and properties are those of requests."""
    used = [("session_name", "", event.session_name)] if event.session_name else []
    if event.kind in REQUEST_KINDS:
        if event.user_id:
            used.append(("user", "", event.user_id))
        used += [
            ("property", name, value) for name, value in event.properties.items() if not name.startswith(OWN_PREFIX)
        ]
    return used


def note_uses(entries: dict[Entry, Use], event: Event, place: Place, count: int = 1) -> None:
    """Add what an event names to `entries`; `count` -1 takes it off again."""
    at = event.started_at
    for kind, name, value in uses_of(event):
        listed = value if len(value) <= LISTED_CHARACTERS_MAX else ""
        key = (event.project_id, kind, place.topic, place.partition, name, listed)
        use = entries.get(key)
        if use is None:
            use = entries[key] = Use(at, at)
        use.count += count
        if at < use.first_used_at:
            use.first_used_at = at
        if at > use.last_used_at:
            use.last_used_at = at
