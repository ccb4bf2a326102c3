"""The kind of a span, and its segment (otlp.md sections 4 and 7)."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from opentelemetry.proto.trace.v1 import trace_pb2

from ingest.decode.spans import kind_tables
from ingest.decode.spans.paths import derived_path, segment_of
from ingest.decode.spans.values import parsed, text_of

_CLIENT = trace_pb2.Span.SPAN_KIND_CLIENT
_INSIDE = (trace_pb2.Span.SPAN_KIND_UNSPECIFIED, trace_pb2.Span.SPAN_KIND_INTERNAL)


class Kind(NamedTuple):
    """`name` as in `Event.kind`, None: structural; `role` as in `kind_tables`, of agents, workflows and tasks."""

    name: str | None
    role: str | None = None


class Facts(NamedTuple):
    """What a kind may depend on beside the attributes."""

    otlp_kind: int
    event_names: Collection[str]
    has_session: bool
    """A session id among the span's own attributes."""
    has_path: bool
    """A `Helicone-Session-Path` among them."""
    has_helicone: bool
    """Any Helicone name among them."""


def kind_of(attributes: Mapping[str, Any], facts: Facts, reports_usage: Callable[[], bool]) -> Kind:
    """The kind that a span's attributes say; the first row that is present decides, then the rules for none."""
    for name, kinds in kind_tables.DECIDING:
        if name not in attributes:
            continue
        value = _deciding(attributes[name])
        if not value:
            continue
        kind = kinds.get(value)
        if kind is None:
            break
        if value == kind_tables.AGENT_CALL and facts.otlp_kind == _CLIENT and reports_usage():
            kind = "llm"
        return Kind(kind, kind_tables.ROLES.get(value))
    return Kind(_undecided(attributes, facts))


def _deciding(value: Any) -> str:
    text = parsed(value)
    return text_of(text if isinstance(text, str) else value).strip().lower()


def _undecided(attributes: Mapping[str, Any], facts: Facts) -> str | None:
    if any(attributes.get(name) for name in kind_tables.TOOL_NAMES):
        return "tool"
    if any(attributes.get(name) for name in kind_tables.MODEL_NAMES):
        return "llm"
    if any(key.startswith(kind_tables.FIRST_PROMPT) for key in attributes):
        return "llm"
    if "db.system" in attributes and (
        kind_tables.VECTOR_QUERY in attributes or not kind_tables.VECTOR_EVENTS.isdisjoint(facts.event_names)
    ):
        return "vector_db"
    if facts.has_path:
        return "span"
    if (facts.has_session or facts.has_helicone) and facts.otlp_kind in _INSIDE:
        is_stamped = any(key.startswith(kind_tables.NOT_AN_AGENTS) for key in attributes)
        return None if is_stamped else "span"
    return None


def plain_name(span_name: str, request_model: str | None) -> str:
    """The span's name without the model: the same work has the same name whatever the model."""
    name = span_name.replace("\0", "").strip()
    return name.removesuffix(f" {request_model}") if request_model else name


def own_segment(kind: Kind, attributes: Mapping[str, Any], name: str) -> str:
    """The span's own segment; `name` is its plain name."""
    for attribute in kind_tables.SEGMENT_NAMES.get(kind.role or kind.name or "", ()):
        if attribute in attributes and (text := text_of(attributes[attribute]).strip()):
            return segment_of(text)
    return segment_of(name)


def provisional_path(attributes: Mapping[str, Any], segment: str) -> str:
    """The path of a span whose ancestors are not known (section 7, 3)."""
    workflow = text_of(attributes.get("traceloop.workflow.name")).strip()
    entities = text_of(attributes.get("traceloop.entity.path")).split(".")
    above = [segment_of(part) for part in (workflow, *entities) if part.strip()]
    return derived_path([*above, segment])
