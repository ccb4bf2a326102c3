"""Goal: a worker's memory stays below 400 MiB, whatever is on the topic. Method: its peak, as the kernel counted it.

60 records of 10 MiB lie over all partitions before the worker starts; `PATHLINE_FAULTS=long` makes it a thousand.
"""

import os
import sys
from pathlib import Path

import asyncpg
import pytest

from infra.topics import Topic
from tests.factories import keyed, native_record
from tests.services import wait_until
from tests.topic_worker import end_offsets, publish, worker

MIB = 1024 * 1024
RECORDS = 1_000 if os.environ.get("PATHLINE_FAULTS") == "long" else 60
RSS_MIB_MAX = 400


def peak_mib(pid: int) -> int:
    """The most memory that the process had at any time."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own count of the peak")
@pytest.mark.timeout(900)
async def test_many_records_of_ten_mib(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    body = b'{"text":"' + b"x" * (10 * MIB) + b'"}'
    for number in range(RECORDS):
        await publish(kafka, events_topic, [keyed(native_record(session_id=f"s-{number}", response=body))])
    ends = await end_offsets(kafka, events_topic)
    with worker(kafka, database, events_topic, spans_topic, tmp_path) as stage:
        async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool:

            async def at_the_end() -> bool:
                rows = await pool.fetch(
                    "SELECT partition, next_offset FROM offsets WHERE topic = $1", events_topic.name
                )
                return {row["partition"]: row["next_offset"] for row in rows} == ends

            await wait_until(at_the_end, seconds=600, what="everything is stored")
            assert await pool.fetchval("SELECT count(*) FROM requests") == RECORDS
        peak = peak_mib(stage.process.pid)
    sys.stdout.write(f"{RECORDS} records of 10 MiB: at most {peak} MiB\n")
    assert peak < RSS_MIB_MAX
