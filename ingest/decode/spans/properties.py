"""The properties of a span's event (otlp.md section 11)."""

from collections.abc import Mapping
from typing import Any

from ingest.decode.metadata import read_metadata
from ingest.decode.spans import property_tables
from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.field_tables import HELICONE_SPELLINGS
from ingest.decode.spans.values import object_of, parsed_structure, text_of
from ingest.event import PROPERTIES_MAX, PROPERTY_NAME_BYTES_MAX, PROPERTY_VALUE_BYTES_MAX

_MAPPED = "property:"


class Properties:
    """Properties as they are found; the first of a name wins, and what is over a limit is left where it was."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.is_over_limit = False

    def add(self, name: str, value: Any) -> bool:
        """Add one; whether it is told by the properties now, with this value."""
        name, text = name.replace("\0", ""), text_of(value)
        if not name or not text:
            return False
        if name in self.found:
            return self.found[name] == text
        if (
            len(self.found) >= PROPERTIES_MAX
            or len(name.encode()) > PROPERTY_NAME_BYTES_MAX
            or (len(text) * 4 > PROPERTY_VALUE_BYTES_MAX and len(text.encode()) > PROPERTY_VALUE_BYTES_MAX)
        ):
            self.is_over_limit = True
            return False
        self.found[name] = text
        return True


def helicone_name(key: str) -> str | None:
    """What follows `Helicone-` in an attribute's key of any of the three spellings, in its own letter case."""
    lowered = key.lower()
    for prefix in HELICONE_SPELLINGS:
        if lowered.startswith(prefix):
            return key[len(prefix) :]
    return None


def read_properties(
    attributes: Attributes,
    helicone: Mapping[str, str],
    resource: Mapping[str, Any],
    mapped: Mapping[str, str],
    headers: Mapping[str, str],
) -> tuple[Properties, dict[str, str]]:
    """All properties, and those of the export's headers that found no room.

    `helicone` is attribute -> Helicone name; `mapped` what the project's mapping found.
    """
    properties = Properties()
    for field, text in mapped.items():
        if field.startswith(_MAPPED):
            properties.add(field.removeprefix(_MAPPED), text)
    for key, name in helicone.items():
        if name.lower() in property_tables.OWN_FIELDS or key in attributes.used:
            continue
        if properties.add(_property_name(name), attributes.values[key]):
            attributes.used.add(key)
    _add_named(properties, attributes, resource)
    return properties, _add_headers(properties, headers)


def _property_name(name: str) -> str:
    if name.lower().startswith(property_tables.PROPERTY):
        return name[len(property_tables.PROPERTY) :]
    return property_tables.SENT_TO_POSTHOG if name.lower() == property_tables.POSTHOG_KEY else f"Helicone-{name}"


def _add_named(properties: Properties, attributes: Attributes, resource: Mapping[str, Any]) -> None:
    values, used = attributes.values, attributes.used
    for key in property_tables.NAMED:
        if key in values and properties.add(key, values[key]):
            used.add(key)
    for key in [key for key in values if key.startswith(property_tables.PREFIXES) and key not in used]:
        name = next(key[len(prefix) :] for prefix in property_tables.PREFIXES if key.startswith(prefix))
        if properties.add(name, values[key]):
            used.add(key)
    for name, sources in property_tables.OF_RESOURCE_TOO:
        for key in sources:
            if key in values and properties.add(name, values[key]):
                used.add(key)
                break
        else:
            any(properties.add(name, resource[key]) for key in sources if key in resource)
    metadata = object_of(values[property_tables.METADATA]) if property_tables.METADATA in values else None
    # A list, so that the first that finds no room does not keep out the others.
    if metadata and all([properties.add(name, value) for name, value in metadata.items()]):
        used.add(property_tables.METADATA)
    _add_tags(properties, attributes)


def _add_tags(properties: Properties, attributes: Attributes) -> None:
    for key in property_tables.TAGS:
        if key in attributes.values:
            tags = parsed_structure(attributes.values[key])
            if properties.add("tags", ",".join(map(text_of, tags)) if isinstance(tags, list) else tags):
                attributes.used.add(key)


def _add_headers(properties: Properties, headers: Mapping[str, str]) -> dict[str, str]:
    if not headers:
        return {}
    sent = read_metadata({}, headers).properties
    sent.pop("Helicone-Request-Id", None)
    own = {name.lower() for name in properties.found}
    return {name: value for name, value in sent.items() if name.lower() not in own and not properties.add(name, value)}
