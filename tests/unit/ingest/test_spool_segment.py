"""A segment is read up to the first record that is not whole, wherever it is cut or damaged.

Method: hypothesis draws records, then cuts the file at any byte, or changes any byte to any other value.
"""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ingest.spool.segment import MAGIC, Kept, SegmentReader, frame_of, frames_bytes

RECORDS = st.lists(
    st.tuples(st.sampled_from(["pathline.events", "pathline.spans"]), st.binary(max_size=20), st.binary(max_size=200)),
    max_size=12,
)


def segment_of(records: list[tuple[str, bytes, bytes]]) -> bytes:
    return MAGIC + b"".join(frame_of(topic.encode(), key, value) for topic, key, value in records)


def read_back(content: bytes, *, chunk_bytes: int = 300) -> tuple[list[Kept], int]:
    """What a reader finds, and how many bytes of it are good."""
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        path.write_bytes(content)
        found: list[Kept] = []
        with SegmentReader(path) as reader:
            while chunk := reader.read(chunk_bytes):
                found += chunk
            return found, reader.good_bytes


def whole_before(records: list[tuple[str, bytes, bytes]], place: int) -> int:
    """How many of the records end at or before this byte of their segment."""
    end, count = len(MAGIC), 0
    for topic, key, value in records:
        end += frames_bytes([(key, value)], topic)
        count += end <= place
    return count if place >= len(MAGIC) else 0


@given(RECORDS, st.integers(1, 2_000))
def test_everything_comes_back_in_order_whatever_the_chunks(
    records: list[tuple[str, bytes, bytes]], chunk_bytes: int
) -> None:
    content = segment_of(records)
    assert read_back(content, chunk_bytes=chunk_bytes) == (records, len(content))


@given(RECORDS, st.data())
def test_a_segment_cut_at_any_byte_yields_exactly_the_records_before_it(
    records: list[tuple[str, bytes, bytes]], data: st.DataObject
) -> None:
    content = segment_of(records)
    place = data.draw(st.integers(0, len(content)))
    found, good_bytes = read_back(content[:place])
    assert found == records[: whole_before(records, place)]
    assert good_bytes <= place


@given(RECORDS, st.data())
def test_a_segment_damaged_at_any_byte_yields_exactly_the_records_before_it(
    records: list[tuple[str, bytes, bytes]], data: st.DataObject
) -> None:
    content = bytearray(segment_of(records))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    found, _ = read_back(bytes(content))
    assert found == records[: whole_before(records, place)]


@given(RECORDS, st.binary(max_size=100))
def test_garbage_and_zeros_behind_the_last_record_are_no_records(
    records: list[tuple[str, bytes, bytes]], garbage: bytes
) -> None:
    content = segment_of(records)
    for tail in (garbage, bytes(4096)):
        assert read_back(content + tail) == (records, len(content))


def test_a_file_of_another_form_has_no_records() -> None:
    assert read_back(b"PLSPOOL9" + frame_of(b"pathline.events", b"k", b"v")) == ([], 0)
