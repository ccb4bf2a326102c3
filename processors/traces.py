"""Joining the spans of a trace: session, user, name, path and usage along its chains (otlp.md sections 4 to 7).

Pure. What comes out is a function of the log alone: of which copy of a span came first, and of `log_time`, the broker's
append time as the greatest one that its partition had seen by then. Batching, restarts and the moment at which a
window is closed play no part (docs/decisions/0007-trace-join.md).
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from ingest.decode.otlp import derived_path
from ingest.event import Event

CHAIN_SPANS_MAX = 256
"""Ancestors that a chain may have; what lies above them does not count, as in a circle of parents."""
REMEMBERED = timedelta(hours=24)
"""How long after its window a span can still be an ancestor; a later child has to do without it."""

Key = tuple[int, str, str]
"""Project, trace id, span id."""


class Link(msgspec.Struct, gc=False):
    """What is remembered of a span: a row of `trace_spans`, its columns in this order."""

    project_id: int
    trace_id: str
    span_id: str
    parent_span_id: str | None
    partition: int
    offset: int
    log_time: datetime
    closes_at: datetime
    """`log_time` and its project's join window: what was appended later is too late for this span."""
    started_at: datetime
    ended_at: datetime
    content_hash: UUID
    day: date | None = None
    event_id: UUID | None = None
    """With `day` the event's key; None: structural, or another span had the same event id first."""
    session_id: str | None = None
    """This and the next four are the span's own."""
    session_name: str | None = None
    user_id: str | None = None
    explicit_path: str | None = None
    segment: str | None = None
    reports_usage: bool = False
    trace_as_session: bool = False
    is_open: bool = False
    """Its event waits for an ancestor. Once false, only its usage may still be taken back."""
    waits_for: str | None = None
    """The id of the nearest ancestor that is missing, while it is open."""
    has_session: bool = False
    """This and the next three: what the event has for good."""
    has_name: bool = False
    has_user: bool = False
    has_path: bool = False
    """By an explicit path or all the way from the root; otherwise the path is provisional."""
    usage_counted_by: str | None = None
    """The nested span whose usage counts in place of this one's, and that span's place."""
    counted_by_distance: int = 0
    counted_by_offset: int = 0

    @property
    def key(self) -> Key:
        """Its place among all spans."""
        return self.project_id, self.trace_id, self.span_id

    @property
    def is_path_provisional(self) -> bool:
        """Whether path roll-ups have to wait for the event's path and session name, which are part of their keys."""
        return self.is_open and not (self.has_path and self.has_name)

    @property
    def state(self) -> tuple[object, ...]:
        """Everything about it that a join may change."""
        return (
            *(self.is_open, self.waits_for, self.has_session, self.has_name, self.has_user, self.has_path),
            self.usage_counted_by,
        )


class Found(msgspec.Struct, gc=False):
    """What a span's chain says as far as it is known. None: not decided, or nothing was found."""

    session_id: str | None = None
    session_name: str | None = None
    user_id: str | None = None
    path: str | None = None
    waits_for: str | None = None
    """The ancestor that is missing. None: the root was reached, or will never be."""
    outers: list[tuple[Link, int]] = []
    """Ancestors whose usage this span's stands in for, and how many levels above it they are."""


def join(
    known: dict[Key, Link], arrived: Iterable[Link], waiting: Iterable[Link], due: Iterable[Link] = ()
) -> dict[Key, Found]:
    """Decide what can be decided, changing the links in place; return those that changed and what was found for them.

    `known` holds the ancestors, as far as received, of all that `arrived` (first copies in order of the log, added
    here) and of all that are `waiting` for one of them. Windows of those in `due` are closed at the end, and need no
    ancestors unless they are `waiting` too. All links are of `known`, except those of `due` that are nothing else.
    """
    arrived, due = list(arrived), list(due)
    for link in arrived:
        known[link.key] = link
    found = {link.key: Found() for link in arrived}
    for link in [*arrived, *waiting]:
        if not link.is_open:
            continue
        before = link.state
        seen = follow(link, known)
        _note(link, seen)
        if link.key in found or link.state != before:
            found[link.key] = seen
        if link.reports_usage:
            for outer, distance in seen.outers:
                if _give_up_usage(outer, link, distance):
                    found.setdefault(outer.key, Found())
    for link in due:
        if link.is_open:
            link.is_open, link.waits_for = False, None
            found.setdefault(link.key, Found())
    return found


def follow(link: Link, known: Mapping[Key, Link]) -> Found:
    """Climb from a span to its root, or to where its chain breaks off."""
    found = Found(link.session_id, link.session_name, link.user_id, link.explicit_path, outers=[])
    segments = [] if link.segment is None else [link.segment]
    complete_at, child, seen = link.log_time, link, {link.span_id}
    for distance in range(1, CHAIN_SPANS_MAX + 1):
        if child.parent_span_id is None or child.parent_span_id in seen:
            break
        seen.add(child.parent_span_id)
        parent = known.get((link.project_id, link.trace_id, child.parent_span_id))
        if parent is None:
            found.waits_for = child.parent_span_id
            return found
        if not _counts(parent, link):
            return found
        complete_at, child = max(complete_at, parent.log_time), parent
        found.session_id = found.session_id or parent.session_id
        found.session_name = found.session_name or parent.session_name
        found.user_id = found.user_id or parent.user_id
        if found.path is None and parent.explicit_path is not None:
            found.path = derived_path(segments[::-1], parent.explicit_path)
        if parent.segment is not None:
            segments.append(parent.segment)
        if parent.reports_usage and complete_at <= parent.closes_at:
            found.outers.append((parent, distance))
    if child.parent_span_id is not None:
        return found
    if found.path is None:
        found.path = derived_path(segments[::-1], None)
    if found.session_id is None and link.trace_as_session:
        found.session_id = link.trace_id
    return found


def _counts(ancestor: Link, link: Link) -> bool:
    """Whether a span may see this ancestor: neither too late for its window nor so old that it may be forgotten."""
    return ancestor.log_time <= link.closes_at and link.log_time <= ancestor.closes_at + REMEMBERED


def _note(link: Link, found: Found) -> None:
    link.has_session = found.session_id is not None
    link.has_name = found.session_name is not None
    link.has_user = found.user_id is not None
    link.has_path = found.path is not None
    has_all = link.has_session and link.has_name and link.has_user and link.has_path and not link.reports_usage
    link.is_open = found.waits_for is not None and not has_all
    link.waits_for = found.waits_for if link.is_open else None


def _give_up_usage(outer: Link, inner: Link, distance: int) -> bool:
    """Let the deepest nested span count for the outer one, among equals the first in the log; whether that is new."""
    rank, held = (distance, -inner.offset), (outer.counted_by_distance, -outer.counted_by_offset)
    if outer.usage_counted_by is not None and held >= rank:
        return False
    outer.usage_counted_by = inner.span_id
    outer.counted_by_distance, outer.counted_by_offset = distance, inner.offset
    return True


def decided(event: Event, link: Link, found: Found) -> Event:
    """The event as it is after a join. What it has stays: a session never changes, nor a path that was decided."""
    event = msgspec.structs.replace(
        event,
        session_id=event.session_id or found.session_id,
        session_name=event.session_name or found.session_name,
        user_id=event.user_id or found.user_id or "",
        path=event.path if found.path is None else found.path,
    )
    return event if link.usage_counted_by is None else _without_usage(event, link.usage_counted_by)


USAGE_COUNTED_BY = "pathline.usage_counted_by"
"""Property of an event whose tokens and cost stand at the span of that id, nested in its own."""


def _without_usage(event: Event, counted_by: str) -> Event:
    return msgspec.structs.replace(
        event,
        prompt_tokens=0,
        completion_tokens=0,
        cache_read_tokens=0,
        cache_write_tokens=0,
        reasoning_tokens=0,
        prompt_audio_tokens=0,
        completion_audio_tokens=0,
        cost_nanousd=0,
        properties={**event.properties, USAGE_COUNTED_BY: counted_by},
    )
