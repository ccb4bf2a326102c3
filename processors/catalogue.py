"""What a project's requests name, for pick lists: session names, users and properties. Pure.

An entry has a count and a first and a last use: sums and extremes, like every roll-up. The values of one property are
many or few; only the client knows. Long ones are ids or prose that nobody picks from a list, and count as one; so do
those beyond the bound of their list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ingest.event import Event
from processors.batch import Place
from processors.session import Measure

LISTED_CHARACTERS_MAX = 200
"""Of a value. Longer ones, and empty ones, are counted together under the empty value of their list."""
LISTED_VALUES_MAX = 1_000
"""Of a list in one partition: those with the smallest hashes, a sample that no order changes. The others are counted
together under the empty value. Of all that the partitions list, as many with the smallest hashes are complete in each:
a reader who takes these and counts the others together is exact, whatever came by which partition."""
OWN_PREFIX = "pathline."
"""Properties with such a name are Pathline's own notes about an event and in no list."""

Naming = tuple[int, str, int, str | None, str, tuple[tuple[str, str], ...]]
"""All that an event names: project, topic, partition, session name, user, properties. Many have the same one."""
Entry = tuple[int, str, str, int, str, str]
"""Project, list (`session_name`, `user`, `property`), topic, partition, property's name or "", value."""


@dataclass(slots=True)
class Use:
    """How often something was used, and when first and last."""

    first_used_at: datetime
    last_used_at: datetime
    count: int = 0

    def add(self, first_used_at: datetime, last_used_at: datetime, count: int) -> None:
        """Count more uses within these times."""
        self.count += count
        if first_used_at < self.first_used_at:
            self.first_used_at = first_used_at
        if last_used_at > self.last_used_at:
            self.last_used_at = last_used_at


def note_use(namings: dict[Naming, Use], event: Event, place: Place, facts: Measure, count: int = 1) -> None:
    """Add what an event names to `namings`; `count` -1 takes it off again. Only requests name users and properties."""
    is_request = facts.is_request
    user_id, properties = (event.user_id, facts.properties) if is_request else ("", ())
    naming = (event.project_id, place.topic, place.partition, event.session_name, user_id, properties)
    at = event.started_at
    use = namings.get(naming)
    if use is None:
        use = namings[naming] = Use(at, at)
    use.add(at, at, count)


def entries_of(namings: Mapping[Naming, Use]) -> dict[Entry, Use]:
    """The uses of each listed value."""
    entries: dict[Entry, Use] = {}
    for naming, use in namings.items():
        for entry in _entries(naming):
            sum_ = entries.get(entry)
            if sum_ is None:
                sum_ = entries[entry] = Use(use.first_used_at, use.last_used_at)
            sum_.add(use.first_used_at, use.last_used_at, use.count)
    return entries


def _entries(naming: Naming) -> Iterator[Entry]:
    project_id, topic, partition, session_name, user_id, properties = naming
    if session_name:
        yield project_id, "session_name", topic, partition, "", _listed(session_name)
    if user_id:
        yield project_id, "user", topic, partition, "", _listed(user_id)
    for name, value in properties:
        if not name.startswith(OWN_PREFIX):
            yield project_id, "property", topic, partition, name, _listed(value)


def _listed(value: str) -> str:
    return value if len(value) <= LISTED_CHARACTERS_MAX else ""
