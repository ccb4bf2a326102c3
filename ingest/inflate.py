"""Compressed bodies, piece by piece, so that whoever counts the pieces can stop at a limit. Pure."""

import zlib
from collections.abc import Iterator

import zstandard

from ingest.errors import InvalidBody

PIECE_BYTES_MAX = 1024 * 1024
"""Of gzip. A piece of zstd has at most 128 KiB for every 4 bytes of `ZSTD_STEP_BYTES`."""
GZIP_STEP_BYTES = 16 * 1024
"""Taken from the body at a time: what follows a member is copied, and must not be the whole rest each time."""
ZSTD_STEP_BYTES = 512
"""The decoder gives all that a step holds at once: 16 MiB at most."""
ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024
"""What every decoder must have (RFC 8878 section 3.1.1.1.2) and level 19 asks for; a frame may announce terabytes."""
MEMBERS_MAX = 10_000
"""Members of gzip or frames of zstd in one body. Each costs a decoder, also when it is empty."""

_GZIP = zlib.MAX_WBITS | 16


def pieces(body: bytes, encoding: bytes) -> Iterator[bytes]:
    """What a body of the encoding `gzip` or `zstd` holds, over all its members; pieces may be empty.

    Raises:
        InvalidBody: it is not of this encoding, is cut off, or has too many members.
    """
    return _zstd_pieces(body) if encoding == b"zstd" else _gzip_pieces(body)


def _gzip_pieces(body: bytes) -> Iterator[bytes]:
    inflater, members = zlib.decompressobj(_GZIP), 1
    try:
        for step in _steps(body, GZIP_STEP_BYTES):
            rest = step
            while rest:
                if inflater.eof:
                    inflater, members = zlib.decompressobj(_GZIP), _one_more(members)
                yield inflater.decompress(rest, PIECE_BYTES_MAX)
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        while not inflater.eof:
            # What the last step held may be more than one piece.
            if not (piece := inflater.decompress(b"", PIECE_BYTES_MAX)):
                raise InvalidBody("Invalid JSON: the gzip body is cut off")
            yield piece
    except zlib.error as fault:
        raise InvalidBody(f"Invalid JSON: the body is no gzip ({fault})") from fault


def _zstd_pieces(body: bytes) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    inflater, members = decoder.decompressobj(), 1
    try:
        for step in _steps(body, ZSTD_STEP_BYTES):
            rest = step
            while rest:
                if inflater.eof:
                    inflater, members = decoder.decompressobj(), _one_more(members)
                yield inflater.decompress(rest)
                rest = inflater.unused_data if inflater.eof else b""
    except zstandard.ZstdError as fault:
        raise InvalidBody(f"Invalid JSON: the body is no zstd ({fault})") from fault
    if not inflater.eof:
        raise InvalidBody("Invalid JSON: the zstd body is cut off")


def _steps(body: bytes, step_bytes: int) -> Iterator[bytes]:
    return (body[start : start + step_bytes] for start in range(0, len(body), step_bytes))


def _one_more(members: int) -> int:
    if members == MEMBERS_MAX:
        raise InvalidBody(f"Invalid JSON: the body is compressed in more than {MEMBERS_MAX} members")
    return members + 1
