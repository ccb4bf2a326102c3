"""Opaque tokens that say where a page ends. Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from datetime import timedelta
from uuid import UUID

from query.errors import InvalidQuestion
from query.instants import EPOCH
from query.sessions import Place

MICROSECOND = timedelta(microseconds=1)
PLACE_BYTES = 24


def write_place(place: Place) -> str:
    """A place in the list of the newest sessions as a token."""
    at_us = (place.first_event_at - EPOCH) // MICROSECOND
    return urlsafe_b64encode(at_us.to_bytes(8, "big", signed=True) + place.session_key.bytes).decode()


def read_place(token: str) -> Place:
    """The place of a token.

    Raises:
        InvalidQuestion: not a token that `write_place` made.
    """
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
        if len(raw) != PLACE_BYTES:
            raise InvalidQuestion("Invalid cursor")
        at = EPOCH + timedelta(microseconds=int.from_bytes(raw[:8], "big", signed=True))
    except (NotBase64, UnicodeEncodeError, OverflowError) as fault:
        raise InvalidQuestion("Invalid cursor") from fault
    return Place(at, UUID(bytes=raw[8:]))
