"""Session id, session name, user id and explicit path of a span (otlp.md sections 5 and 7), rows 0 to 11.

The door asks for them per span, to check them against the limits; decoding asks again with all attributes at hand.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
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
    fields = own_fields(found, _PLACES_NAMES.intersection(found), is_root=False, helicone=found).fields
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
    if not (names_helicone or headers or settings.mappings):
        fields = resource.fields
        if names:
            ids, session_names, users = _in_order(names, not parent_of(span.parent_span_id))
            fields = Fields(
                _first_text(attributes, ids) or fields.session_id,
                _first_text(attributes, session_names) or fields.session_name,
                _first_text(attributes, users) or fields.user_id,
            )
        return span_event_id(span.trace_id, span.span_id), fields
    wanted = {name: read_value(attributes[name]) for name in names}
    for mapping in settings.mappings:
        if mapping.attribute in attributes:
            wanted[mapping.attribute] = read_value(attributes[mapping.attribute])
    helicone: dict[str, Any] = {}
    if names_helicone:
        # In the span's own order, which decides between two letter cases of one name.
        helicone = _helicone_attributes(trace_pb2.Span.FromString(encoded).attributes)
        wanted |= helicone
    is_root = not parent_of(span.parent_span_id)
    fields, own = _found_fields(wanted, names, is_root, helicone, resource, headers, settings)
    return span_event_id(span.trace_id, span.span_id, own.request_id), fields


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
    names = _PLACES_NAMES.intersection(attributes)
    return _found_fields(attributes, names, is_root, helicone, resource, headers, settings)


def _found_fields(
    attributes: dict[str, Any],
    names: frozenset[str],
    is_root: bool,
    helicone: Iterable[str],
    resource: ResourceFields,
    headers: Mapping[str, str],
    settings: ProjectSettings,
) -> tuple[Fields, OwnFields]:
    mapped = mapped_values(attributes, resource.attributes, settings) if settings.mappings else {}
    own = own_fields(attributes, names, is_root, helicone)
    return _laid_out(mapped, own.fields, headers, resource.fields), own


def own_fields(
    attributes: Mapping[str, Any], names: frozenset[str], is_root: bool, helicone: Iterable[str]
) -> OwnFields:
    """Rows 1 to 9 of a span's own attributes; `names` are those that the tables have, `helicone` those that may be
    Helicone's names.
    """
    texts: dict[str, str] = {}
    keys: dict[str, str] = {}
    found = [(place, key) for key in helicone if (place := HELICONE_PLACES.get(key.lower()))]
    found.sort(key=_rank)
    for (field, _), key in found:
        _keep_first(FIELD_NAMES[field], key, attributes, texts, keys)
    for field, in_order in enumerate(_in_order(names, is_root)):
        for key in in_order:
            _keep_first(FIELD_NAMES[field], key, attributes, texts, keys)
    if not keys:
        return NOTHING_OWN
    return OwnFields(Fields(*(texts.get(name) for name in FIELD_NAMES[:4])), texts.get(FIELD_NAMES[4]), keys)


def _rank(found: tuple[tuple[int, int], str]) -> int:
    return found[0][1]


def _keep_first(
    field: str, key: str, attributes: Mapping[str, Any], texts: dict[str, str], keys: dict[str, str]
) -> None:
    if field not in texts and (text := named_text(key, attributes[key])):
        texts[field], keys[field] = text, key


@lru_cache(maxsize=1_024)
def _in_order(names: frozenset[str], is_root: bool) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Those of `names` that may say the session's id, its name and the user; the first of the tables first.

    Spans of one kind have the same names, so nearly every order was made before.
    """
    usable = sorted(names if is_root else names.difference(SESSION_NAME_OF_ROOT), key=lambda name: PLACES[name][1])
    ids, session_names, users = (tuple(name for name in usable if PLACES[name][0] == field) for field in range(3))
    return ids, session_names, users


def _first_text(attributes: Mapping[str, AnyValue], in_order: tuple[str, ...]) -> str | None:
    for name in in_order:
        value = attributes[name]
        text: str = value.string_value
        if not text or "\0" in text or text[0] == '"':
            text = named_text(name, read_value(value))
        if text:
            return text
    return None


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
