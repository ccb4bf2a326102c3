"""Session id, session name, user id and explicit path of a span (otlp.md sections 5 and 7), rows 0 to 11.

The door asks for them per span, to check them against the limits; decoding asks again with all attributes at hand.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from infra.project_settings import ProjectSettings
from ingest.decode.spans.field_tables import FIELD_NAMES, HEADERS, HELICONE_PLACES, PLACES, SESSION_NAME_OF_ROOT
from ingest.decode.spans.identity import parent_of, span_event_id
from ingest.decode.spans.span import Fields
from ingest.decode.spans.values import named_text, read_attributes, read_value

HELICONE_FIRST_CHARACTERS = ("h", "H", "t", "T", "l", "L")
"""What the spellings of a Helicone name begin with."""
_RANK_MAX = 1_000
_PLACES_NAMES = frozenset(PLACES)


class ResourceFields(NamedTuple):
    """What a resource says for all its spans. Computed once per resource."""

    attributes: dict[str, Any]
    fields: Fields
    """By row 11: it comes after everything that the span or the export's headers say."""


class OwnFields(NamedTuple):
    """What a span's own attributes say (rows 1 to 9)."""

    fields: Fields
    request_id: str | None
    keys: dict[str, str]
    """Name as in `FIELD_NAMES` -> the attribute that said it."""


NOTHING_OWN = OwnFields(Fields(), None, {})


def resource_fields(attributes: Iterable[KeyValue]) -> ResourceFields:
    """The fields that a resource's attributes give to its spans."""
    found = read_attributes(attributes)
    fields = own_fields(found, is_root=False, helicone=found).fields
    name = next((key for key in found if HELICONE_PLACES.get(key.lower(), (0, 0))[0] == 1), None)
    # Of the columns of the session's name only rows 0 and 1 hold here, and no path.
    return ResourceFields(found, fields._replace(session_name=fields.session_name if name else None, path=None))


class DoorSpan(Protocol):
    """What the door knows of a span: its attributes are a map."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    attributes: Mapping[str, AnyValue]


def door_facts(
    span: DoorSpan,
    encoded: bytes,
    resource: ResourceFields,
    headers: Mapping[str, str],
    settings: ProjectSettings,
    *,
    names_helicone: bool,
) -> tuple[str, Fields]:
    """Event id and fields of a span at the door; `encoded` is the whole span, and `names_helicone` whether it may have
    attributes of Helicone's.

    Only the attributes that the tables name are read: reading all costs three times as much.
    """
    attributes = span.attributes
    names = _PLACES_NAMES.intersection(attributes)
    if settings.mappings:
        names = names.union(mapping.attribute for mapping in settings.mappings if mapping.attribute in attributes)
    wanted = {name: (value := attributes[name]).string_value or read_value(value) for name in names}
    helicone: dict[str, Any] = {}
    if names_helicone:
        # In the span's own order, which decides between two letter cases of one name.
        helicone = _helicone_attributes(trace_pb2.Span.FromString(encoded).attributes)
        wanted |= helicone
    own = own_fields(wanted, not parent_of(span.parent_span_id), helicone) if wanted else NOTHING_OWN
    mapped = mapped_values(wanted, resource.attributes, settings) if settings.mappings else {}
    event_id = span_event_id(span.trace_id, span.span_id, own.request_id)
    if own is NOTHING_OWN and not mapped and not headers:
        return event_id, resource.fields
    return event_id, _laid_out(mapped, own.fields, headers, resource.fields)


def door_fields(
    span: trace_pb2.Span, resource: ResourceFields, headers: Mapping[str, str], settings: ProjectSettings
) -> Fields:
    """The four fields alone. `headers` have lower-cased names and stripped values."""
    attributes = read_attributes(span.attributes)
    return span_fields(attributes, not parent_of(span.parent_span_id), attributes, resource, headers, settings)[0]


def span_fields(
    attributes: dict[str, Any],
    is_root: bool,
    helicone: Iterable[str],
    resource: ResourceFields,
    headers: Mapping[str, str],
    settings: ProjectSettings,
) -> tuple[Fields, OwnFields]:
    """The four fields, first non-empty of mapping, attributes, headers and resource; and what the attributes said."""
    mapped = mapped_values(attributes, resource.attributes, settings) if settings.mappings else {}
    own = own_fields(attributes, is_root, helicone)
    return _laid_out(mapped, own.fields, headers, resource.fields), own


def own_fields(attributes: Mapping[str, Any], is_root: bool, helicone: Iterable[str]) -> OwnFields:
    """Rows 1 to 9 of a span's own attributes; `helicone` are those that may be Helicone's names."""
    ranks = [_RANK_MAX] * len(FIELD_NAMES)
    texts: list[str | None] = [None] * len(FIELD_NAMES)
    keys = {}
    places = {key: PLACES[key] for key in PLACES.keys() & attributes.keys()}
    for key in helicone:
        if place := HELICONE_PLACES.get(key.lower()):
            places[key] = place
    for key, (field, rank) in places.items():
        if rank >= ranks[field] or (key in SESSION_NAME_OF_ROOT and not is_root):
            continue
        if text := named_text(key, attributes[key]):
            ranks[field], texts[field], keys[FIELD_NAMES[field]] = rank, text, key
    if not keys:
        return NOTHING_OWN
    return OwnFields(Fields(*texts[:4]), texts[4], keys)


def mapped_values(
    attributes: Mapping[str, Any], resource: Mapping[str, Any], settings: ProjectSettings
) -> dict[str, str]:
    """What the project's own mapping finds (otlp.md section 13), by field; the first non-empty of a field wins."""
    found: dict[str, str] = {}
    for mapping in settings.mappings:
        if mapping.field not in found:
            source = resource if mapping.scope == "resource" else attributes
            if text := named_text(mapping.attribute, source.get(mapping.attribute)):
                found[mapping.field] = text
    return found


def _helicone_attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {
        key: read_value(attribute.value)
        for attribute in attributes
        if (key := attribute.key)[:1] in HELICONE_FIRST_CHARACTERS and key.lower() in HELICONE_PLACES
    }


def _laid_out(mapped: Mapping[str, str], own: Fields, headers: Mapping[str, str], resource: Fields) -> Fields:
    if not mapped and not headers:
        return Fields(
            own.session_id or resource.session_id,
            own.session_name or resource.session_name,
            own.user_id or resource.user_id,
            own.path,
        )
    found = (
        mapped.get(name) or own[place] or headers.get(HEADERS[place], "").replace("\0", "") or resource[place]
        for place, name in enumerate(FIELD_NAMES[:4])
    )
    return Fields(*found)
