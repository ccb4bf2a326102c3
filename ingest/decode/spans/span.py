"""What a span's record decodes to, before it is joined with its trace."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from ingest.event import Event


class Fields(NamedTuple):
    """The four texts that a span says about its session, itself or through its export; None where it says none."""

    session_id: str | None = None
    session_name: str | None = None
    user_id: str | None = None
    path: str | None = None
    """The explicit one (otlp.md section 7, 1)."""


class Span(msgspec.Struct, gc=False):
    """One span. Times are aware UTC datetimes."""

    project_id: int
    trace_id: str
    """32 hexadecimal digits, lower case."""
    span_id: str
    """16 hexadecimal digits, lower case."""
    parent_span_id: str | None
    """None: a root."""
    started_at: datetime
    ended_at: datetime
    received_at: datetime
    event_id: UUID
    event: Event | None = None
    """None: structural. Its session, name and user are the span's own; its path the explicit or provisional one."""
    session_id: str | None = None
    """This and the two below are the span's own (rows 0 to 11 of otlp.md section 5), of structural spans too."""
    session_name: str | None = None
    user_id: str | None = None
    explicit_path: str | None = None
    segment: str | None = None
    """Its own segment of the path; None: structural."""
    reports_usage: bool = False
    """An `llm` event with an input or output count or a cost of its own."""
