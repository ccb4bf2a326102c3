"""The limits of an event's own values, checked by the door and again by whoever decodes a record.

The door answers them to the sender; in a processor they turn a record that no door let in into a dead letter.
"""

from collections.abc import Mapping

from ingest.event import (
    FUTURE_MAX,
    PROPERTIES_MAX,
    PROPERTY_NAME_BYTES_MAX,
    PROPERTY_VALUE_BYTES_MAX,
    STATUS_MAX,
    STATUS_MIN,
    TEXT_BYTES_MAX,
    InvalidEvent,
    Record,
    parse_uuid,
)

FUTURE_MAX_US = int(FUTURE_MAX.total_seconds()) * 1_000_000
TIME_TO_FIRST_TOKEN_MS_MAX = 86_400_000 * 400
"""400 days: far beyond any request, and a sum of billions of them still fits a signed 64-bit column."""

_PROJECT_ID_MAX = 2**31 - 1
_SHORT_CHARACTERS_MAX = TEXT_BYTES_MAX // 4
"""A character is at most 4 bytes of UTF-8, so a text of this length needs no encoding to be measured."""


def check_text(name: str, text: str | None, bytes_max: int = TEXT_BYTES_MAX) -> None:
    """Refuse a text that is longer than `bytes_max` bytes of UTF-8.

    Raises:
        InvalidEvent: it is; the text says `name` and the limit.
    """
    if text is None or len(text) <= _SHORT_CHARACTERS_MAX:
        return
    if len(text) > bytes_max or len(text.encode()) > bytes_max:
        raise InvalidEvent(f"Invalid {name}: longer than {bytes_max} bytes", code="too_long")


def check_status(status: int) -> None:
    """Refuse a status outside -999 to 999."""
    if not STATUS_MIN <= status <= STATUS_MAX:
        text = f"Invalid status: {status} is not between {STATUS_MIN} and {STATUS_MAX}"
        raise InvalidEvent(text, code="invalid_status")


def check_properties(properties: Mapping[str, str]) -> None:
    """Refuse too many properties, and names or values that are too long."""
    if len(properties) > PROPERTIES_MAX:
        text = f"Too many properties: {len(properties)}, at most {PROPERTIES_MAX}"
        raise InvalidEvent(text, code="too_many_properties")
    for name, value in properties.items():
        # 64 characters are at most 256 bytes: the common case needs no further look.
        if len(name) > 64 or len(value) > _SHORT_CHARACTERS_MAX:
            check_text(f"property name '{name[:32]}…'", name, PROPERTY_NAME_BYTES_MAX)
            check_text(f"property '{name}'", value, PROPERTY_VALUE_BYTES_MAX)


def check_envelope(record: Record) -> None:
    """Refuse a record whose ids no door writes."""
    if parse_uuid(record.event_id) != record.event_id:
        raise InvalidEvent(f"Invalid event_id: '{record.event_id[:64]}' is not a UUID", code="invalid_id")
    if not 0 < record.project_id <= _PROJECT_ID_MAX:
        raise InvalidEvent(f"Unknown project {record.project_id}", code="unknown_project")
