"""What a trace comes to when all of its spans are looked at together, after every window has closed.

Written for reading, from otlp.md sections 4, 6 and 7, and independently of the join, which sees a trace piece by piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingest.decode.otlp import derived_path
from processors.batch import Received

ANCESTORS_MAX = 256
REMEMBERED_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Outcome:
    """What an event has in the end."""

    session_id: str | None
    session_name: str | None
    user_id: str
    path: str | None
    usage_counted_by: str | None


class Trace:
    """The first copies of a log's spans, with the log's own time at each."""

    def __init__(self, log: Sequence[Received]) -> None:
        self.first: dict[tuple[int, str, str], Received] = {}
        self.appended: dict[tuple[int, str, str], datetime] = {}
        now = log[0].log_time
        for received in log:
            now = max(now, received.log_time)
            if self.first.setdefault(_key(received), received) is received:
                self.appended[_key(received)] = now

    def outcomes(self) -> dict[str, Outcome]:
        """By span id, of every span that is an event."""
        return {r.span.span_id: self._outcome(r) for r in self.first.values() if r.item is not None}

    def _closes(self, received: Received) -> datetime:
        return self.appended[_key(received)] + received.window

    def _chain(self, received: Received) -> tuple[list[Received], bool]:
        """The ancestors that count for a span, nearest first, and whether they go up to the root."""
        chain: list[Received] = []
        below = received
        while below.span.parent_span_id is not None:
            above = self.first.get((received.span.project_id, received.span.trace_id, below.span.parent_span_id))
            if above is None or above in (received, *chain) or len(chain) == ANCESTORS_MAX:
                return chain, False
            late = self.appended[_key(above)] > self._closes(received)
            age = self.appended[_key(received)] - self._closes(above)
            if late or age.total_seconds() > REMEMBERED_SECONDS:
                return chain, False
            chain.append(above)
            below = above
        return chain, True

    def _outcome(self, received: Received) -> Outcome:
        chain, to_root = self._chain(received)
        spans = [received.span, *(ancestor.span for ancestor in chain)]
        session_id = next((span.session_id for span in spans if span.session_id), None)
        if session_id is None and to_root and received.trace_as_session:
            session_id = received.span.trace_id
        return Outcome(
            session_id=session_id,
            session_name=next((span.session_name for span in spans if span.session_name), None),
            user_id=next((span.user_id for span in spans if span.user_id), None) or "",
            path=self._path(received, chain, to_root),
            usage_counted_by=self._counted_by(received),
        )

    def _path(self, received: Received, chain: list[Received], to_root: bool) -> str | None:
        if received.span.explicit_path is not None:
            return received.span.explicit_path
        segments = [received.span.segment or ""]
        for ancestor in chain:
            if ancestor.span.explicit_path is not None:
                return derived_path(segments, ancestor.span.explicit_path)
            if ancestor.span.segment is not None:
                segments.insert(0, ancestor.span.segment)
        assert received.span.event is not None
        return derived_path(segments, None) if to_root else received.span.event.path

    def _counted_by(self, outer: Received) -> str | None:
        """The deepest of the spans nested in this one that count in its place, of several the first in the log."""
        nested = []
        for inner in self.first.values():
            if inner.item is None or not (inner.span.reports_usage and outer.span.reports_usage):
                continue
            chain, _ = self._chain(inner)
            if outer not in chain:
                continue
            distance = chain.index(outer) + 1
            joined_at = max(self.appended[_key(span)] for span in [inner, *chain[:distance]])
            if joined_at <= self._closes(outer):
                nested.append((-distance, inner.place.offset, inner.span.span_id))
        return min(nested)[2] if nested else None


def _key(received: Received) -> tuple[int, str, str]:
    return received.span.project_id, received.span.trace_id, received.span.span_id
