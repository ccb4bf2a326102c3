"""The input and the output of a span, out of the first source that has one (otlp.md section 11)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.body_tables import DOCUMENT_PARTS, MIME_TYPES, Side
from ingest.decode.spans.messages import event_message, openinference_messages, openllmetry_messages
from ingest.decode.spans.values import parsed, parsed_structure


class SpanEvent(NamedTuple):
    """An event of a span, its attributes read."""

    name: str
    time_unix_nano: int
    attributes: dict[str, Any]


def value_of(side: Side, attributes: Attributes, events: list[SpanEvent], used_events: set[int]) -> Any:
    """The side's value: a list of messages, an object, a text, any JSON; None when nothing was captured.

    The places of the span events that it was made of are added to `used_events`.
    """
    if (value := attributes.take(side.langfuse, side.gen_ai_messages, *side.gen_ai_values)) is not None:
        return parsed_structure(value)
    if (value := _indexed(side, attributes)) is not None:
        return value
    for name in side.values:
        if (value := attributes.take(name)) is not None:
            mime_type = attributes.take(MIME_TYPES[name]) if name in MIME_TYPES else None
            return value if mime_type == "text/plain" else parsed_structure(value)
    return _from_events(side.events, events, used_events)


def _indexed(side: Side, attributes: Attributes) -> Any:
    """Rows 4 to 6."""
    if groups := attributes.indexed(side.openinference_messages):
        return openinference_messages(groups)
    if groups := attributes.indexed(side.openllmetry_messages):
        return openllmetry_messages(groups)
    for name, part in side.items:
        if part is None:
            if (text := attributes.take(name)) is not None:
                return text
            continue
        items = [group.take(part) if part else _document(group) for group in attributes.indexed(name)]
        known = [item for item in items if item is not None and item != {}]
        if known:
            return known[0] if part and len(known) == 1 else known
    return None


def _document(group: Attributes) -> dict[str, Any]:
    found = {}
    for part in DOCUMENT_PARTS:
        value = group.take(f"document.{part}")
        if value is not None:
            found[part] = parsed(value) if part == "metadata" else value
    return found


def _from_events(roles: Mapping[str, str], events: list[SpanEvent], used_events: set[int]) -> Any:
    messages = []
    for place, event in enumerate(events):
        role = roles.get(event.name)
        if role is not None:
            messages.append(event_message(role, event.attributes))
            used_events.add(place)
    return messages or None
