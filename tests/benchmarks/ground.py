"""What is measured on: own engines on free ports in a temporary home, and the stages as processes of production.

Everything dies with the benchmark, even when that is killed (`infra.local.command`).
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from infra.local import command as commands
from infra.local.command import Command
from infra.local.engine import Engine
from infra.local.first_key import first_key
from infra.local.kafka import KAFKA
from infra.local.postgres import POSTGRES
from infra.local.stack import answers_ready
from infra.migrate import migrate
from infra.settings import KafkaSettings, LocalSettings
from infra.topics import TOPICS, Topic, ensure_topics
from tests.benchmarks.bare_producer import ProducerJob
from tests.benchmarks.load import LoadJob, LoadResult
from tests.services import free_ports, make_home, make_local_settings
from tests.topic_worker import end_offsets

ROOT = Path(__file__).parents[2]
READY_SECONDS_MAX = 30.0
STOP_SECONDS = 10.0
SPARE_SECONDS = 30.0
"""What a generator may take beyond its own plan before it is killed."""
EMPTY_EVENTS = (
    "TRUNCATE generation_1.requests, records, generation_1.sessions, generation_1.session_paths, "
    "generation_1.path_hours, generation_1.catalogue, dead_letters"
)


class MeasurementFailed(Exception):
    """What was measured did not do what it should have done: a figure would be a lie."""


@dataclass(frozen=True)
class Ground:
    """Engines that serve, a migrated database with a key, and the topics."""

    local: LocalSettings
    kafka: Engine
    postgres: Engine
    dsn: str
    key: str

    @property
    def servers(self) -> str:
        """Bootstrap address of the broker."""
        return self.local.kafka_servers

    @asynccontextmanager
    async def stage(self, module: str, **environment: str) -> AsyncIterator[subprocess.Popen[bytes]]:
        """`python -m <module>` with the engines' addresses, stopped at the end."""
        addresses = {
            "PATHLINE_HOME": str(self.local.home),
            "PATHLINE_KAFKA": self.servers,
            "PATHLINE_POSTGRES": self.dsn,
            "PROCESSORS_PORT": "0",
        }
        async with _running(self._command(module, {**addresses, **environment})) as process:
            yield process

    @asynccontextmanager
    async def service(self, module: str, setting: str) -> AsyncIterator[tuple[int, subprocess.Popen[bytes]]]:
        """A stage that listens, once it is ready: its port and its process. `setting` names its port."""
        (port,) = free_ports(1)
        async with self.stage(module, **{setting: str(port)}) as process:
            await _await_ready(port, process, module)
            yield port, process

    @asynccontextmanager
    async def empty_handler(self) -> AsyncIterator[int]:
        """The port of the empty handler, once it answers."""
        (port,) = free_ports(1)
        async with _running(self._command("tests.benchmarks.empty_handler", {}, str(port))) as process:
            await _await_listening(port, process)
            yield port

    def _command(self, module: str, environment: dict[str, str], *arguments: str) -> Command:
        return Command(
            name=module,
            argv=(sys.executable, "-m", module, *arguments),
            log=self.local.logs / f"{module}.log",
            env={**os.environ, **environment},
            cwd=ROOT,
        )

    async def load(self, job: LoadJob) -> LoadResult:
        """Run the load generator.

        Raises:
            MeasurementFailed: an answer was not 200, or not what was expected.
        """
        result = await _generate("tests.benchmarks.load", job, job.warm_up_seconds + job.seconds)
        if result.failures:
            raise MeasurementFailed(f"{result.failures} wrong answers, the first: {result.first_failure}")
        return result

    async def produce(self, job: ProducerJob) -> LoadResult:
        """Run the bare producer."""
        return await _generate("tests.benchmarks.bare_producer", job, job.warm_up_seconds + job.seconds)

    async def empty_topic(self, topic: Topic) -> None:
        """Delete every record, so that the disk does not fill over many runs."""
        ends = await end_offsets(self.servers, topic)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers, request_timeout_ms=10_000)
        await admin.start()
        try:
            await admin.delete_records(
                {TopicPartition(topic.name, number): RecordsToDelete(end) for number, end in ends.items()}
            )
        finally:
            await admin.close()

    async def empty_events(self, connection: asyncpg.Connection) -> None:
        """No event stored and no write left over; an idle worker goes on from its offsets."""
        await connection.execute(EMPTY_EVENTS)
        await connection.execute("CHECKPOINT")

    async def empty_tables(self, connection: asyncpg.Connection) -> None:
        """`empty_events`, and no offsets: only while no worker runs."""
        await connection.execute("TRUNCATE offsets")
        await self.empty_events(connection)


@asynccontextmanager
async def prepared_ground() -> AsyncIterator[Ground]:
    """Start engines in a new home; stop them and remove it at the end."""
    home = make_home()
    local = make_local_settings(home)
    engines = [Engine(KAFKA, local), Engine(POSTGRES, local)]
    try:
        for engine in engines:
            await engine.start()
        dsn = local.postgres_dsn()
        await migrate(dsn)
        await ensure_topics(local.kafka_servers, KafkaSettings(), TOPICS)
        key, _ = await first_key(dsn, local.api_key_file)
        yield Ground(local, engines[0], engines[1], dsn, key)
    finally:
        for engine in engines:
            await engine.stop()
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def _running(command: Command) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = commands.start(command)
    try:
        yield process
        if process.poll() is not None:
            raise MeasurementFailed(f"{command.name} ended with {process.returncode}")
    except BaseException:
        sys.stderr.write(f"--- {command.log.name}, last lines\n{_last_lines(command.log)}\n")
        raise
    finally:
        await commands.stop(process, command.stop_signal, grace_seconds=STOP_SECONDS)


async def _await_ready(port: int, process: subprocess.Popen[bytes], module: str) -> None:
    deadline = asyncio.get_running_loop().time() + READY_SECONDS_MAX
    while not await asyncio.to_thread(answers_ready, port):
        if process.poll() is not None or asyncio.get_running_loop().time() > deadline:
            raise MeasurementFailed(f"{module} did not become ready within {READY_SECONDS_MAX:.0f} s")
        await asyncio.sleep(0.05)


async def _await_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = asyncio.get_running_loop().time() + READY_SECONDS_MAX
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.poll() is not None or asyncio.get_running_loop().time() > deadline:
                raise MeasurementFailed("the empty handler does not listen") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return


async def _generate(module: str, job: LoadJob | ProducerJob, planned_seconds: float) -> LoadResult:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, msgspec.json.encode(job).decode()),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(planned_seconds + SPARE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise MeasurementFailed(f"{module} ended with {process.returncode}")
    return msgspec.json.decode(output, type=LoadResult)


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
