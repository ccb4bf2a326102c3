"""Reading spans: under the settings they were received with, and no dead letter for what is the database's trouble."""

import asyncpg
import pytest

from infra.postgres import make_pool
from infra.projects import SettingsBook, change_settings, ensure_project
from ingest.decode.otlp import encode_span_record
from ingest.event import EPOCH, from_us
from processors.batch import Place, Slice
from processors.errors import StoreAway
from processors.spans import SpanReader
from tests.unit.ingest.otlp.spans import record_of, span_of

VALUE = encode_span_record(record_of(span_of({"gen_ai.operation.name": "chat"})))


def empty_slice() -> Slice:
    return Slice("test.spans", 0, 0, 1, 0, 1, EPOCH)


async def test_a_span_is_read_under_the_settings_it_names(database: str) -> None:
    connection = await asyncpg.connect(database)
    project_id = await ensure_project(connection, "default")
    await change_settings(connection, project_id, {"join_window_seconds": 7, "otlp_trace_as_session": True})
    await connection.close()
    pool = await make_pool(database, application_name="test", connections_max=1, statement_timeout_ms=5_000)
    async with pool:
        reader, part = SpanReader(SettingsBook(pool)), empty_slice()
        later = VALUE.replace(b'"settings_version":1', b'"settings_version":2')
        await reader.prepare([VALUE, later, None, b"no record"])
        for offset, value in enumerate((VALUE, later)):
            reader.take(part, Place("test.spans", 0, offset), b"key", value, 1_767_225_660_000)
    first, second = part.spans
    assert (first.window.total_seconds(), first.trace_as_session) == (3600, False)
    assert (second.window.total_seconds(), second.trace_as_session) == (7, True)
    assert first.log_time == from_us(1_767_225_660_000_000)
    assert (len(part.events), part.next_offset, part.dead_letters) == (2, 2, [])


async def test_settings_that_cannot_be_read_now_are_waited_for(database: str) -> None:
    pool = await make_pool(database, application_name="test", connections_max=1, statement_timeout_ms=5_000)
    await pool.close()
    with pytest.raises(StoreAway):
        await SpanReader(SettingsBook(pool)).prepare([VALUE])


async def test_what_is_no_span_is_a_dead_letter_with_its_reason(database: str) -> None:
    async with await make_pool(
        database, application_name="test", connections_max=1, statement_timeout_ms=5_000
    ) as pool:
        reader, part = SpanReader(SettingsBook(pool)), empty_slice()
        values = [VALUE, None, b"no record"]
        await reader.prepare(values)
        for offset, value in enumerate(values):
            reader.take(part, Place("test.spans", 0, offset), b"key", value, 0)
    reasons = [(letter.step, letter.reason) for letter in part.dead_letters]
    assert reasons == [("decode", "unknown_settings"), ("decode", "no_value"), ("decode", "not_a_record")]
