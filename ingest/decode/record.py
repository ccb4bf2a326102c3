"""The entry point of decoding: a record from the topic becomes an event. Pure; called once per record."""

from collections.abc import Callable

from ingest.decode import helicone, native, otlp_end
from ingest.event import Event, InvalidEvent, Record, parse_uuid

_PROJECT_ID_MAX = 2**31 - 1
_DECODERS: dict[str, Callable[[Record], Event]] = {
    "native": native.decode_event,
    "native.end": native.decode_end,
    otlp_end.SOURCE: otlp_end.decode_end,
}


def decode(record: Record) -> Event:
    """What a record says. The same record gives the same event, whenever and wherever it is decoded.

    Raises:
        InvalidEvent: the record can never be stored; it belongs into the dead letters.
    """
    source = record.source
    decoder = helicone.decode_log if source.startswith(helicone.SOURCE_PREFIX) else _DECODERS.get(source)
    if decoder is None:
        raise InvalidEvent(f"Unknown source '{record.source[:64]}'", code="unknown_source")
    if parse_uuid(record.event_id) != record.event_id:
        raise InvalidEvent(f"Invalid event_id: '{record.event_id[:64]}' is not a UUID", code="invalid_id")
    if not 0 < record.project_id <= _PROJECT_ID_MAX:
        raise InvalidEvent(f"Unknown project {record.project_id}", code="unknown_project")
    return decoder(record)
