"""The spool promises only what is synced, never outgrows its limit, and survives the end of its process.

Method: a spool on a real folder; `os.fsync` and `os.write` fail on demand, and a real file system of 1 MiB is full
where the test may mount one. A broker in memory takes, refuses or ignores what is drained.
"""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from infra.topics import EVENTS, SPANS
from ingest.errors import NotDurable, Overloaded, PublishError, RecordTooLarge, SpoolFull
from ingest.spool.drain import drain_forever
from ingest.spool.folder import ASIDE, Folder
from ingest.spool.segment import MAGIC, Kept, SegmentReader, frame_of
from ingest.spool.spool import Spool
from tests.processes import ROOT
from tests.services import wait_until

KIB, MIB = 1024, 1024 * 1024
KEY = b"k" * 16


class FakeBroker:
    """Takes records and remembers them. `refuses` and `overloads` decide by the value, `is_away` holds for all."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_ready = True
        self.taken: list[Kept] = []
        self.asked = 0
        self.refuses: Callable[[bytes], bool] = lambda value: False
        self.overloads = 0

    def knows(self, topic: str) -> bool:
        return topic in (EVENTS.name, SPANS.name)

    async def publish(self, records: list[tuple[bytes, bytes]], topic: str = EVENTS.name) -> list[PublishError | None]:
        self.asked += 1
        if self.overloads:
            self.overloads -= 1
            raise Overloaded
        if self.is_away:
            return [NotDurable() for _ in records]
        self.taken += [Kept(topic, key, value) for key, value in records if not self.refuses(value)]
        return [RecordTooLarge() if self.refuses(value) else None for _, value in records]

    @property
    def values(self) -> list[bytes]:
        return [record.value for record in self.taken]


def make_spool(root: Path, *, bytes_max: int = 64 * MIB, segment_bytes_max: int = 16 * MIB) -> Spool:
    return Spool(Folder.create(root), bytes_max=bytes_max, segment_bytes_max=segment_bytes_max)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    made = make_spool(tmp_path)
    yield made
    await made.stop()


@asynccontextmanager
async def draining(spool: Spool, broker: FakeBroker) -> AsyncIterator[None]:
    task = asyncio.create_task(drain_forever(spool, broker))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def await_empty(spool: Spool) -> None:
    async def empty() -> bool:
        return spool.segments == 0

    await wait_until(empty, seconds=10, what="the spool is drained")


def segments_in(root: Path) -> list[Path]:
    return sorted(root.rglob("*.seg"))


def bytes_of(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def on_disk(root: Path) -> list[bytes]:
    """The values of every record that can be read from any segment."""
    found: list[bytes] = []
    for path in segments_in(root):
        with SegmentReader(path) as reader:
            while chunk := reader.read(MIB):
                found += [record.value for record in chunk]
    return found


def numbered(count: int, *, first: int = 0) -> list[tuple[bytes, bytes]]:
    return [(KEY, b"%d" % number) for number in range(first, first + count)]


async def test_what_is_kept_is_readable_at_once_and_drained_in_order(spool: Spool, tmp_path: Path) -> None:
    assert await spool.keep(numbered(50), EVENTS.name) is None
    assert await spool.keep(numbered(50, first=50), SPANS.name) is None
    assert on_disk(tmp_path) == [b"%d" % number for number in range(100)]
    assert (spool.segments, spool.pending_bytes) == (1, 0)
    assert 0 <= spool.oldest_age_seconds < 5
    assert spool.bytes == bytes_of(segments_in(tmp_path))
    broker = FakeBroker()
    async with draining(spool, broker):
        await await_empty(spool)
    assert broker.values == [b"%d" % number for number in range(100)]
    assert [record.topic for record in broker.taken] == [EVENTS.name] * 50 + [SPANS.name] * 50
    assert (spool.bytes, spool.oldest_age_seconds, on_disk(tmp_path)) == (0, 0.0, [])


async def test_all_that_waits_for_an_fsync_shares_the_next_one(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def count(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", count)
    assert await spool.keep(numbered(1), EVENTS.name) is None
    synced.clear()
    outcomes = await asyncio.gather(*(spool.keep(numbered(1), EVENTS.name) for _ in range(500)))
    assert outcomes == [None] * 500
    assert len(synced) <= 2


async def test_nothing_is_accepted_before_its_fsync(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        fsync(descriptor)
        synced.extend(on_disk(spool._folder.path))

    monkeypatch.setattr(os, "fsync", look)
    assert await spool.keep([(KEY, b"first")], EVENTS.name) is None
    assert synced[-1:] == [b"first"]


async def test_after_a_failed_fsync_that_file_never_gets_another_record_nor_another_fsync(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await spool.keep(numbered(1), EVENTS.name) is None
    [broken] = spool._folder.path.glob("*.seg")
    calls: list[str] = []
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append(path.name)
        if path == broken:
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    assert isinstance(await spool.keep(numbered(1, first=1), EVENTS.name), NotDurable)
    length = broken.stat().st_size
    assert await spool.keep(numbered(1, first=2), EVENTS.name) is None
    assert calls.count(broken.name) == 1
    assert broken.stat().st_size == length
    broker = FakeBroker()
    async with draining(spool, broker):
        await await_empty(spool)
    assert {b"0", b"2"} <= set(broker.values), "what was accepted before and after is drained"


async def test_a_disk_without_room_is_503_and_leaves_nothing_half_written(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await spool.keep(numbered(3), EVENTS.name) is None
    size, write = spool.bytes, os.write

    def fill_up(descriptor: int, data: bytes) -> int:
        write(descriptor, bytes(data)[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fill_up)
    assert isinstance(await spool.keep(numbered(5, first=3), EVENTS.name), SpoolFull)
    assert isinstance(await spool.keep(numbered(5, first=8), EVENTS.name), SpoolFull)
    monkeypatch.setattr(os, "write", write)
    assert spool.bytes == size == bytes_of(segments_in(tmp_path))
    assert await spool.keep(numbered(1, first=90), EVENTS.name) is None
    assert on_disk(tmp_path) == [b"0", b"1", b"2", b"90"]


async def test_a_real_disk_that_fills_up(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)]
    if await asyncio.to_thread(subprocess.call, mount, stderr=subprocess.DEVNULL):
        pytest.skip("this user may not mount a small file system")
    try:
        spool = make_spool(tmp_path)
        outcomes = [await spool.keep([(KEY, b"%4d" % n + b"x" * 60 * KIB)], EVENTS.name) for n in range(40)]
        kept = [number for number, outcome in enumerate(outcomes) if outcome is None]
        assert 10 < len(kept) < 20
        assert all(isinstance(outcome, SpoolFull) for outcome in outcomes if outcome is not None)
        broker = FakeBroker()
        async with draining(spool, broker):
            await await_empty(spool)
        assert [int(value[:4]) for value in broker.values] == kept
        assert await spool.keep(numbered(1), EVENTS.name) is None, "there is room again"
        await spool.stop()
    finally:
        await asyncio.to_thread(subprocess.check_call, ["umount", tmp_path])


async def test_the_limit_holds_and_what_is_drained_makes_room(tmp_path: Path) -> None:
    spool = make_spool(tmp_path, bytes_max=MIB, segment_bytes_max=128 * KIB)
    taken = 0
    while (outcome := await spool.keep([(KEY, b"x" * 10_000)], EVENTS.name)) is None:
        taken += 1
        assert spool.bytes <= MIB
    assert isinstance(outcome, SpoolFull)
    assert spool.is_full
    assert taken > 90
    assert spool.segments >= 7
    broker = FakeBroker()
    async with draining(spool, broker):
        await await_empty(spool)
    assert (len(broker.taken), spool.is_full) == (taken, False)
    assert await spool.keep(numbered(1), EVENTS.name) is None
    await spool.stop()


async def test_a_broker_that_is_away_is_tried_with_one_record_and_loses_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.spool.drain.PAUSE_SECONDS", 0.01)
    await spool.keep(numbered(300), EVENTS.name)
    broker = FakeBroker()
    broker.is_away, broker.overloads = True, 2
    async with draining(spool, broker):

        async def tried() -> bool:
            return broker.asked > 5

        await wait_until(tried, seconds=5, what="the broker was asked several times")
        assert spool.segments == 1
        broker.is_away = False
        await await_empty(spool)
    assert broker.values == [b"%d" % number for number in range(300)]


async def test_a_refused_record_moves_aside_and_the_others_go_on(spool: Spool, tmp_path: Path) -> None:
    await spool.keep(numbered(3), EVENTS.name)
    await spool.keep([(KEY, b"nobody knows this topic")], "pathline.other")
    broker = FakeBroker()
    broker.refuses = lambda value: value == b"1"
    async with draining(spool, broker):
        await await_empty(spool)
    assert broker.values == [b"0", b"2"]
    assert on_disk(tmp_path / ASIDE) == [b"1", b"nobody knows this topic"]
    assert spool.refused == 2
    assert spool.bytes == bytes_of(segments_in(tmp_path)) > 0


async def test_a_segment_damaged_on_disk_is_drained_up_to_there_and_kept_aside(spool: Spool, tmp_path: Path) -> None:
    await spool.keep(numbered(10), EVENTS.name)
    segment = await spool.next_segment()
    assert segment is not None
    content = bytearray(segment.path.read_bytes())
    content[len(content) // 2] ^= 1
    segment.path.write_bytes(content)
    broker = FakeBroker()
    async with draining(spool, broker):
        await await_empty(spool)
    assert broker.values == [b"%d" % number for number in range(len(broker.values))]
    assert 0 < len(broker.values) < 10
    [aside] = (tmp_path / ASIDE).glob("*.seg")
    assert aside.read_bytes() == content


async def test_segments_of_a_living_process_are_left_alone_and_of_a_dead_one_adopted(
    spool: Spool, tmp_path: Path
) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from ingest.spool.folder import Folder\n"
        "from ingest.spool.spool import Spool\n"
        "async def main():\n"
        "    spool = Spool(Folder.create(pathlib.Path(sys.argv[1])), bytes_max=1 << 26, segment_bytes_max=1 << 24)\n"
        "    outcome = await spool.keep([(b'k', b'%d' % n) for n in range(20)], 'pathline.events')\n"
        "    print('kept', outcome, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"kept None\n"
    await spool.adopt()
    assert spool.segments == 0, "its owner lives"
    owner.kill()
    await owner.wait()
    [segment] = segments_in(tmp_path)
    with segment.open("ab") as file:
        file.write(frame_of(b"pathline.events", b"k", b"torn")[:-2])
    await spool.adopt()
    assert spool.segments == 1
    other = make_spool(tmp_path)
    await other.adopt()
    assert other.segments == 0, "one process adopts it"
    broker = FakeBroker()
    async with draining(spool, broker):
        await await_empty(spool)
    assert broker.values == [b"%d" % number for number in range(20)]
    assert spool.cut_bytes > 0
    assert not segment.parent.exists()
    await other.stop()


async def test_what_is_not_drained_at_a_stop_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = make_spool(tmp_path)
    waiting = asyncio.create_task(first.keep(numbered(5), EVENTS.name))
    await asyncio.sleep(0)
    await first.stop()
    assert await waiting is None
    second = make_spool(tmp_path)
    await second.adopt()
    broker = FakeBroker()
    async with draining(second, broker):
        await await_empty(second)
    await second.stop()
    assert broker.values == [b"%d" % number for number in range(5)]
    assert names_in(tmp_path) == [ASIDE], "nothing is left behind"


async def test_an_empty_segment_of_a_dead_process_is_no_trouble(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "1.seg").write_bytes(MAGIC[:3])
    await spool.adopt()
    broker = FakeBroker()
    async with draining(spool, broker):
        await await_empty(spool)
    assert broker.taken == []
    assert not (tmp_path / "gone").exists()


async def test_a_fault_of_ours_in_writing_still_answers_everybody(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(groups: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(spool._writer, "append", fail)
    outcomes = await asyncio.gather(*(spool.keep(numbered(1), EVENTS.name) for _ in range(3)))
    assert [type(outcome) for outcome in outcomes] == [NotDurable] * 3
    monkeypatch.undo()
    assert await spool.keep(numbered(1), EVENTS.name) is None
