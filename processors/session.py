"""THE contract of a session: what it is, how events fold into it, and how its status is derived.

A session is (project, session id). Its roll-up and those of its paths are made of counts, sums, mins, maxs and
"value of the extreme event by (time, id)" only: folding is commutative and associative, so any order, batching
and partition hand-over of the same set of events gives the same row. The tables `sessions` and `session_paths` are
the stored form. Imported downstream by `query`; pure.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import orjson

from ingest.event import EPOCH, REQUEST_KINDS, Event, normalise_path, text_key
from processors.histogram import bucket_of

__all__ = [
    "REQUEST_KINDS",
    "SET_MEMBERS_MAX",
    "Measure",
    "PathFold",
    "SessionFold",
    "bounded_set",
    "derive_status",
    "measure",
    "normalise_path",
    "text_key",
]

SET_MEMBERS_MAX = 16
"""Members of a session's bounded sets: its users, models, providers, and properties with their values. Beyond it a set
is marked and the requests answer."""
SET_MEMBER_CHARACTERS_MAX = 1_024
"""What is longer is in no set, but marks it. A user id is never longer."""
ERROR_MESSAGE_CHARACTERS_MAX = 500
"""Of a session's last error; the request has all of it."""

NO_EVENT = UUID(int=0)

_SPANS_SOURCE = "otlp"
"""Where a `span` event has usage only if its project's setting `otlp_count_span_usage` was on; elsewhere usage on a
span is what the client sums up itself, and never counts."""


class Measure(msgspec.Struct, frozen=True, gc=False):
    """What every roll-up of an event asks of it, found out once."""

    latency_us: int
    bucket: int
    """Of the latency (`processors.histogram`)."""
    is_request: bool
    has_usage: bool
    """It has tokens or a cost, and they count: those of a request, or of a span by its project's decision."""
    properties: tuple[tuple[str, str], ...]


def measure(event: Event) -> Measure:
    """Look at an event once for all roll-ups."""
    duration = event.ended_at - event.started_at
    latency_us = (duration.days * 86_400 + duration.seconds) * 1_000_000 + duration.microseconds
    is_request = event.kind in REQUEST_KINDS
    has_usage = bool(
        event.prompt_tokens
        or event.completion_tokens
        or event.cost_nanousd
        or event.cache_read_tokens
        or event.cache_write_tokens
        or event.reasoning_tokens
        or event.prompt_audio_tokens
        or event.completion_audio_tokens
    ) and (is_request or (event.kind == "span" and event.source == _SPANS_SOURCE))
    return Measure(latency_us, bucket_of(latency_us), is_request, has_usage, tuple(event.properties.items()))


def property_member(name: str, value: str) -> str:
    """A property as a member of a set: the JSON array of its name and value."""
    return orjson.dumps([name, value]).decode()


def bounded_set(members: set[str]) -> tuple[list[str], bool]:
    """The smallest members in order of their code points, and whether more exist. Both are closed under union."""
    short = sorted([member for member in members if len(member) <= SET_MEMBER_CHARACTERS_MAX])
    return short[:SET_MEMBERS_MAX], len(members) > min(len(short), SET_MEMBERS_MAX)


# Folds are dataclasses with slots: adding to a field in place takes half the time that it does in a msgspec.Struct.
# They have amounts and are none: the interpreter is quick where a method meets objects of one class only.
@dataclass(slots=True)
class Amounts:
    """Sums over requests that a session and a path have in common; usage may come from spans too."""

    request_count: int = 0
    error_count: int = 0
    latency_us_sum: int = 0
    latency_histogram: dict[int, int] = field(default_factory=dict)
    """Bucket -> requests (`processors.histogram`)."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    cost_nanousd: int = 0

    def add_request(self, event: Event, facts: Measure) -> None:
        """Count one request, without its usage."""
        self.request_count += 1
        if event.is_error:
            self.error_count += 1
        self.latency_us_sum += facts.latency_us
        histogram, bucket = self.latency_histogram, facts.bucket
        histogram[bucket] = histogram.get(bucket, 0) + 1

    def add_usage(self, event: Event) -> None:
        """Count tokens and cost alone."""
        self.prompt_tokens += event.prompt_tokens
        self.completion_tokens += event.completion_tokens
        self.cache_read_tokens += event.cache_read_tokens
        self.cache_write_tokens += event.cache_write_tokens
        self.reasoning_tokens += event.reasoning_tokens
        self.prompt_audio_tokens += event.prompt_audio_tokens
        self.completion_audio_tokens += event.completion_audio_tokens
        self.cost_nanousd += event.cost_nanousd or 0

    def take_back_request(self, event: Event, facts: Measure) -> None:
        """Undo `add_request`."""
        self.request_count -= 1
        self.error_count -= event.is_error
        self.latency_us_sum -= facts.latency_us
        self.latency_histogram[facts.bucket] -= 1

    def take_back_usage(self, event: Event) -> None:
        """Undo `add_usage`."""
        self.prompt_tokens -= event.prompt_tokens
        self.completion_tokens -= event.completion_tokens
        self.cache_read_tokens -= event.cache_read_tokens
        self.cache_write_tokens -= event.cache_write_tokens
        self.reasoning_tokens -= event.reasoning_tokens
        self.prompt_audio_tokens -= event.prompt_audio_tokens
        self.completion_audio_tokens -= event.completion_audio_tokens
        self.cost_nanousd -= event.cost_nanousd or 0


@dataclass(slots=True)
class SessionFold:
    """What a set of events of one session adds to its row; without events it stands for nothing and is not stored."""

    amounts: Amounts = field(default_factory=Amounts)
    session_id: str = ""
    event_count: int = 0
    first_event_at: datetime = EPOCH
    last_event_end_at: datetime = EPOCH
    last_received_at: datetime = EPOCH
    last_end_event_id: UUID = NO_EVENT
    last_is_error: bool = False
    name: str | None = None
    name_started_at: datetime | None = None
    name_event_id: UUID | None = None
    first_request_at: datetime | None = None
    last_request_at: datetime | None = None
    last_request_end_at: datetime | None = None
    time_to_first_token_us_sum: int = 0
    time_to_first_token_count: int = 0
    unpriced_count: int = 0
    kind_counts: dict[str, int] = field(default_factory=dict)
    """Events of each kind."""
    user_ids: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    """Labels: model names, `tool:<name>`, `vector_db`, `data:<name>`."""
    providers: set[str] = field(default_factory=set)
    properties: set[tuple[tuple[str, str], ...]] = field(default_factory=set)
    """Names and values of each request that has others: most requests of a session have the same."""
    last_error_at: datetime | None = None
    """End of the event with the greatest (end, event id) among those that are errors."""
    last_error_event_id: UUID | None = None
    last_error_type: str | None = None
    last_error_message: str | None = None
    last_error_path: str | None = None
    ended_at: datetime | None = None
    ended_event_id: UUID | None = None
    outcome: str | None = None
    outcome_reason: str | None = None

    def add(self, event: Event, facts: Measure) -> None:
        """Fold one event of this session in; the caller has seen to it that no event comes twice."""
        if not self.event_count:
            self._set_extremes(event)
        self.event_count += 1
        kind = event.kind
        self.kind_counts[kind] = self.kind_counts.get(kind, 0) + 1
        started_at, ended_at = event.started_at, event.ended_at
        if started_at < self.first_event_at:
            self.first_event_at = started_at
        if event.received_at > self.last_received_at:
            self.last_received_at = event.received_at
        if ended_at >= self.last_event_end_at and (
            ended_at > self.last_event_end_at or event.event_id > self.last_end_event_id
        ):
            self._set_last(event)
        if event.is_error:
            self._fail_by(event)
        if event.session_name and (self.name_started_at is None or started_at <= self.name_started_at):
            self._name_by(event)
        if facts.has_usage:
            self.amounts.add_usage(event)
        if kind == "session_end":
            self._end_by(event)
        if not facts.is_request:
            return
        self.amounts.add_request(event, facts)
        if self.first_request_at is None or started_at < self.first_request_at:
            self.first_request_at = started_at
        if self.last_request_at is None or started_at > self.last_request_at:
            self.last_request_at = started_at
        if self.last_request_end_at is None or ended_at > self.last_request_end_at:
            self.last_request_end_at = ended_at
        if event.time_to_first_token_us is not None:
            self.time_to_first_token_us_sum += event.time_to_first_token_us
            self.time_to_first_token_count += 1
        if event.cost_nanousd is None:
            self.unpriced_count += 1
        self._add_members(event, facts)

    def take_back(self, event: Event, facts: Measure) -> None:
        """Take the sums of an event off that was folded before and is added anew, in this fold, as it is now.

        The extremes and sets stay: between the two only a name, a user, a path or a property is gained, so each of them
        is the new one's too.
        """
        self.event_count -= 1
        self.kind_counts[event.kind] -= 1
        if facts.has_usage:
            self.amounts.take_back_usage(event)
        if not facts.is_request:
            return
        self.amounts.take_back_request(event, facts)
        if event.time_to_first_token_us is not None:
            self.time_to_first_token_us_sum -= event.time_to_first_token_us
            self.time_to_first_token_count -= 1
        self.unpriced_count -= event.cost_nanousd is None

    def _set_extremes(self, event: Event) -> None:
        self.session_id = event.session_id or ""
        self.first_event_at = event.started_at
        self.last_received_at = event.received_at
        self._set_last(event)

    def _set_last(self, event: Event) -> None:
        self.last_event_end_at = event.ended_at
        self.last_end_event_id = event.event_id
        self.last_is_error = event.is_error

    def _fail_by(self, event: Event) -> None:
        place = (event.ended_at, event.event_id)
        if (
            self.last_error_at is None
            or self.last_error_event_id is None
            or place > (self.last_error_at, self.last_error_event_id)
        ):
            self.last_error_at, self.last_error_event_id = place
            self.last_error_type = event.error_type
            self.last_error_message = event.error_message and event.error_message[:ERROR_MESSAGE_CHARACTERS_MAX]
            self.last_error_path = normalise_path(event.path)

    def _name_by(self, event: Event) -> None:
        place = (event.started_at, event.event_id)
        if (
            self.name_started_at is None
            or self.name_event_id is None
            or place < (self.name_started_at, self.name_event_id)
        ):
            self.name_started_at, self.name_event_id = place
            self.name = event.session_name

    def _end_by(self, event: Event) -> None:
        place = (event.started_at, event.event_id)
        if self.ended_at is None or self.ended_event_id is None or place > (self.ended_at, self.ended_event_id):
            self.ended_at, self.ended_event_id = place
            self.outcome, self.outcome_reason = event.outcome, event.outcome_reason

    def _add_members(self, event: Event, facts: Measure) -> None:
        if event.user_id:
            self.user_ids.add(event.user_id)
        if event.model:
            self.models.add(event.model)
        if event.provider:
            self.providers.add(event.provider)
        if facts.properties:
            self.properties.add(facts.properties)


@dataclass(slots=True)
class PathFold:
    """What a set of events of one normalised path adds to a row: of one session, or of one session name and hour."""

    amounts: Amounts = field(default_factory=Amounts)
    latency_us_min: int | None = None
    latency_us_max: int | None = None
    span_count: int = 0
    span_latency_us_sum: int = 0
    first_at: datetime | None = None
    last_end_at: datetime | None = None

    def add(self, event: Event, facts: Measure) -> None:
        """Fold one event in. `session_end` events are no step of the work and must not be given."""
        latency_us = facts.latency_us
        if self.first_at is None or event.started_at < self.first_at:
            self.first_at = event.started_at
        if self.last_end_at is None or event.ended_at > self.last_end_at:
            self.last_end_at = event.ended_at
        if facts.has_usage:
            self.amounts.add_usage(event)
        if not facts.is_request:
            self.span_count += 1
            self.span_latency_us_sum += latency_us
            return
        self.amounts.add_request(event, facts)
        if self.latency_us_min is None or latency_us < self.latency_us_min:
            self.latency_us_min = latency_us
        if self.latency_us_max is None or latency_us > self.latency_us_max:
            self.latency_us_max = latency_us

    def take_back(self, event: Event, facts: Measure) -> None:
        """Take the sums of an event off that was folded before and is added anew; see `SessionFold.take_back`."""
        if facts.has_usage:
            self.amounts.take_back_usage(event)
        if facts.is_request:
            self.amounts.take_back_request(event, facts)
        else:
            self.span_count -= 1
            self.span_latency_us_sum -= facts.latency_us


def derive_status(
    *,
    outcome: str | None,
    last_received_at: datetime,
    last_is_error: bool,
    idle_limit: timedelta,
    now: datetime,
) -> str:
    """The status of a session as of `now`: `failed`, `completed` or `active` (design: Status; first rule that applies).

    Needs no sweeper: a session grows from active to ended by being looked at later.
    """
    if outcome is not None:
        return outcome
    if now - last_received_at <= idle_limit:
        return "active"
    return "failed" if last_is_error else "completed"
