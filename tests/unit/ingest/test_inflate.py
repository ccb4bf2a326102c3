"""Goal: compressed bodies are read within bounds and told apart from broken ones. Method: bodies made by hand."""

import gzip
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from ingest.errors import InvalidBody
from ingest.inflate import MEMBERS_MAX, ZSTD_WINDOW_BYTES_MAX, pieces
from tests.unit.ingest.doors import make_doors

TEXT = b'{"name":"' + bytes(range(32, 34)) * 3 + b"x" * 300_000 + b'"}'
GB = 1_000_000_000


def zstd(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"zstd", zstd)])
def test_several_members_are_one_body(encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    body = compress(TEXT[:9]) + compress(b"") + compress(TEXT[9:])
    assert b"".join(pieces(body, encoding)) == TEXT


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"zstd", zstd)])
def test_a_body_that_is_cut_off_or_something_else_is_told(encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    body = compress(TEXT)
    for length in range(len(body)):
        with pytest.raises(InvalidBody, match="cut off"):
            list(pieces(body[:length], encoding))
    for other in (b"nothing", body + b"garbage"):
        with pytest.raises(InvalidBody, match=f"the body is no {encoding.decode()}"):
            list(pieces(other, encoding))


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"zstd", zstd)])
def test_nothing_but_empty_members_ends_soon(encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    assert b"".join(pieces(compress(b"") * MEMBERS_MAX, encoding)) == b""
    with pytest.raises(InvalidBody, match="more than 10000 members"):
        list(pieces(compress(b"") * (MEMBERS_MAX + 1), encoding))


def test_a_frame_may_not_ask_for_a_large_window() -> None:
    for log, refused in ((23, False), (24, True)):
        parameters = zstandard.ZstdCompressionParameters(window_log=log, write_content_size=False)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        body = compressor.compress(b"x" * (ZSTD_WINDOW_BYTES_MAX * 3)) + compressor.flush()
        if refused:
            with pytest.raises(InvalidBody, match="the body is no zstd"):
                list(pieces(body, b"zstd"))
        else:
            assert sum(map(len, pieces(body, b"zstd"))) == ZSTD_WINDOW_BYTES_MAX * 3


def gzip_bomb() -> bytes:
    """10 MB that hold 10 GB: members of 100 MB of zeros."""
    return gzip.compress(bytes(GB // 10)) * 100


def zstd_bomb() -> bytes:
    """10 GB of zeros in a frame, and bytes of a further one until it has 10 MB."""
    compressor = zstandard.ZstdCompressor().compressobj()
    zeros = bytes(GB // 100)
    body = b"".join(compressor.compress(zeros) for _ in range(100)) + compressor.flush()
    frames = body * 10
    return frames + zstandard.ZstdCompressor(level=1).compress(bytes(range(256)) * 4)[: 10_000_000 - len(frames)]


@pytest.mark.parametrize(("encoding", "bomb"), [("gzip", gzip_bomb), ("zstd", zstd_bomb)])
async def test_a_bomb_is_refused_in_bounded_memory(encoding: str, bomb: Callable[[], bytes]) -> None:
    body, doors = bomb(), make_doors(native_body_bytes_max=16_000_000)
    tracemalloc.start()
    try:
        answer = await doors.client.post("/v1/events", content=body, headers={"Content-Encoding": encoding})
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert peak_bytes < 64_000_000


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/custom/v1/log", "helicone_body_bytes_max"),
        ("/v1/trace/custom/log/typed", "helicone_body_bytes_max"),
        ("/v1/sessions/s/end", "helicone_body_bytes_max"),
        ("/v1/traces", "otlp_body_bytes_max"),
        ("/v1/logs", "otlp_body_bytes_max"),
        ("/v1/trace/log-python", "otlp_body_bytes_max"),
    ],
)
async def test_every_door_refuses_a_bomb(path: str, limit: str) -> None:
    doors, bomb = make_doors(**{limit: 4_000_000}), gzip.compress(bytes(GB // 10))
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    tracemalloc.start()
    try:
        answer = await doors.client.post(path, content=bomb, headers=headers)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status_code, answer.json()["code"]) in ((413, "payload_too_large"), (413, 8))
    assert peak_bytes < 16_000_000
