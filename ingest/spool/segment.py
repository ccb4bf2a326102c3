"""The form of a segment of the spool: records with check sums, readable up to the first one that is not whole.

    segment = MAGIC frame*
    frame   = payload length u32, check sum u64, payload                      (little endian)
    payload = topic length u8, key length u16, topic, key, value

The check sum is xxh3 of the payload with the length as its seed, so a damaged length is noticed too, and zeros are no
frame. A reader stops for good at the first frame that is cut off or damaged: nothing behind it is guessed.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import xxhash

from infra.topics import RECORD_BYTES_MAX

MAGIC = b"PLSPOOL1"
"""The last character is the version of the form."""

PAYLOAD_BYTES_MAX = RECORD_BYTES_MAX + 64 * 1024 + 512
"""A length beyond the largest record, key and topic is damage, whatever the check sum says."""

_FRAME = struct.Struct("<IQ")
_PAYLOAD = struct.Struct("<BH")

FRAME_OVERHEAD_BYTES = _FRAME.size + _PAYLOAD.size


class Kept(NamedTuple):
    """A record as it came: `topic` is the name that the door gave."""

    topic: str
    key: bytes
    value: bytes


def frame_of(topic: bytes, key: bytes, value: bytes) -> bytes:
    """The bytes of one record."""
    payload = b"".join((_PAYLOAD.pack(len(topic), len(key)), topic, key, value))
    return _FRAME.pack(len(payload), xxhash.xxh3_64_intdigest(payload, len(payload))) + payload


def frames_bytes(records: list[tuple[bytes, bytes]], topic: str) -> int:
    """How long the frames of these records are together."""
    each = FRAME_OVERHEAD_BYTES + len(topic)
    return sum(len(key) + len(value) for key, value in records) + each * len(records)


class SegmentReader:
    """Reads a segment once, from its beginning, in chunks.

    Raises `OSError` when the file cannot be read at all: that says nothing of its content.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.good_bytes = 0
        """Up to here everything is whole; what lies behind it, once `read` returned nothing, is no record."""
        self._ended = self._file.read(len(MAGIC)) != MAGIC
        if not self._ended:
            self.good_bytes = len(MAGIC)

    def read(self, bytes_max: int) -> list[Kept]:
        """The next records, in order, together about `bytes_max` long: at least one, and none only at the end."""
        found: list[Kept] = []
        taken = 0
        while taken < bytes_max and (payload := self._payload()) is not None:
            topic_bytes, key_bytes = _PAYLOAD.unpack_from(payload)
            key_at = _PAYLOAD.size + topic_bytes
            value_at = key_at + key_bytes
            found.append(Kept(payload[_PAYLOAD.size : key_at].decode(), payload[key_at:value_at], payload[value_at:]))
            taken += len(payload)
        return found

    def _payload(self) -> bytes | None:
        if self._ended:
            return None
        self._ended = True
        head = self._file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return None
        length, checksum = _FRAME.unpack(head)
        if not _PAYLOAD.size <= length <= PAYLOAD_BYTES_MAX:
            return None
        payload = self._file.read(length)
        if len(payload) < length or xxhash.xxh3_64_intdigest(payload, length) != checksum:
            return None
        self._ended = False
        self.good_bytes += _FRAME.size + length
        return payload

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()
