"""The leader's jobs run in one worker, and another takes over: after a kill, a freeze, a lost session, a failed job.

Method: leaders over real Postgres whose leadership in Faust the test decides; and two real workers, one of them killed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from infra.topics import Topic
from processors.leader import Job, Leader
from tests.services import run_statements, wait_until
from tests.topic_worker import worker


class Counting:
    """A leader with one job that counts its runs, and what Faust says of it."""

    def __init__(self, dsn: str, instance: str) -> None:
        self.runs = 0
        self.leads = True
        self.fault: Exception | None = None
        job = Job("count", 0.02, self._count)
        self.leader = Leader(dsn, [job], lambda: self.leads, instance=instance)

    async def _count(self, pool: asyncpg.Pool) -> None:
        self.runs += 1
        if self.fault is not None:
            raise self.fault
        await pool.fetchval("SELECT 1")

    async def await_runs(self) -> None:
        seen = self.runs

        async def more() -> bool:
            return self.runs > seen + 2

        await wait_until(more, seconds=15, what="the job runs")


@asynccontextmanager
async def running(*counting: Counting) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.leader.run()) for one in counting]
    try:
        yield
    finally:
        for one in counting:
            one.leader.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_of_two_that_both_believe_to_lead_one_works(database: str) -> None:
    first, second = Counting(database, "1"), Counting(database, "2")
    async with running(first):
        await first.await_runs()
        async with running(second):
            await first.await_runs()
            assert second.runs == 0
            first.leads = False
            await second.await_runs()
            seen = first.runs
            await second.await_runs()
            assert first.runs == seen


async def test_a_job_that_fails_runs_again_and_a_lost_session_is_made_again(database: str) -> None:
    one = Counting(database, "1")
    one.fault = ValueError("not today")
    async with running(one):
        await one.await_runs()
        one.fault = None
        await run_statements(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pathline-leader-1'",
        )
        await one.await_runs()


async def test_a_killed_leader_is_followed(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("1", "2")]
    for folder in folders:
        folder.mkdir()
    first, second = (
        worker(kafka, database, events_topic, spans_topic, folder, instance=folder.name) for folder in folders
    )

    async def leads(instance: str) -> bool:
        connection = await asyncpg.connect(database)
        try:
            holder = await connection.fetchval(
                "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
                "WHERE locktype = 'advisory' AND objid = hashtext('pathline.leader')::bigint & 4294967295"
            )
            return bool(holder == f"pathline-leader-{instance}")
        finally:
            await connection.close()

    with first:
        await wait_until(lambda: leads("1"), seconds=30, what="the first worker leads")
        with second:
            first.kill()
            await wait_until(lambda: leads("2"), seconds=40, what="the second worker leads")
            await wait_until(lambda: _says(second.output), seconds=5, what="its job is done")


async def _says(output: str) -> bool:
    return "make_days_ahead" in output and "job_done" in output
