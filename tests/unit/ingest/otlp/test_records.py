"""Goal: a span's record comes back as it was written, and whatever else lies on its topic is refused, never a crash.

Method: records built by hand, cut off at every byte, and damaged.
"""

import json
from base64 import b64decode

import msgspec
import pytest

from infra.project_settings import DEFAULTS
from ingest.decode.otlp import decode_span, decode_span_record, encode_span_record, settings_of, span_record_text
from ingest.event import InvalidEvent, decode_record
from tests.unit.ingest.otlp.spans import record_of, span_of

RECORD = msgspec.structs.replace(
    record_of(span_of({"input.value": 'a "line"\nanother \x02'}), headers={"helicone-user-id": "é"}), session_id='s "1"'
)
VALUE = encode_span_record(RECORD)


def test_a_record_comes_back_as_it_was_written() -> None:
    found = decode_span_record(VALUE)
    assert found == msgspec.structs.replace(RECORD, content=found.content)
    assert bytes(found.content) == bytes(RECORD.content)
    assert VALUE.endswith(bytes(RECORD.content))
    assert settings_of(VALUE) == (RECORD.project_id, RECORD.settings_version)


def test_a_record_that_is_cut_off_anywhere_is_refused() -> None:
    for length in range(len(VALUE)):
        with pytest.raises(InvalidEvent) as refused:
            decode_span(decode_span_record(VALUE[:length]), DEFAULTS)
        assert refused.value.code == "not_a_record"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"no record", "not_a_record"),
        (b'{"schema_version":1,"source":"otlp"}', "not_a_record"),
        (b"\x00\x00\x00\x00\x02{}", "not_a_record"),
        (b"\x02\xff\xff\xff\xff{}", "not_a_record"),
        (b"\x02\x00\x00\x00\x02{}", "not_a_record"),
        (b"\x02\x00\x00\x00\x01\xff", "not_a_record"),
        (b"\x02\x00\x01\x86\xa0" + b"[" * 100_000, "not_a_record"),
        (b"\x03" + VALUE[1:], "unknown_schema_version"),
    ],
)
def test_garbage_is_refused_with_its_reason(value: bytes, code: str) -> None:
    assert settings_of(value) is None
    with pytest.raises(InvalidEvent) as refused:
        decode_span_record(value)
    assert refused.value.code == code


def test_a_damaged_byte_is_read_or_refused() -> None:
    for place in range(len(VALUE)):
        damaged = VALUE[:place] + bytes([VALUE[place] ^ 0x80]) + VALUE[place + 1 :]
        try:
            decode_span(decode_span_record(damaged), DEFAULTS)
        except InvalidEvent as fault:
            assert fault.code


def test_the_other_topic_refuses_it() -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_record(VALUE)
    assert refused.value.code == "not_a_record"


def test_the_database_keeps_all_of_it_as_text() -> None:
    text = json.loads(span_record_text(RECORD))
    assert b64decode(text["content"]["span"]) == bytes(RECORD.content)
    assert (text["schema_version"], text["session_id"], text["headers"]) == (2, RECORD.session_id, RECORD.headers)
