"""The entry point of decoding: a record from the topic of events becomes an event. Pure; called once per record.

The records of spans lie on a topic of their own and need their project's settings: `ingest.decode.otlp.decode_span`.
"""

from collections.abc import Callable

from ingest.decode import helicone, native
from ingest.decode.limits import check_envelope
from ingest.event import Event, InvalidEvent, Record

_DECODERS: dict[str, Callable[[Record], Event]] = {
    "native": native.decode_event,
    "native.end": native.decode_end,
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
    check_envelope(record)
    return decoder(record)
