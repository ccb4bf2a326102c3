"""Streams of chunks: recognised by their content, folded into the one response that they make (section 7)."""

from typing import Any

import msgspec

from ingest.decode.folds import fold
from ingest.decode.surrogates import readable_text
from ingest.event import InvalidEvent

FOLDED_BYTES_MAX = 15 * 1024 * 1024
"""The record limit. A folded body keeps its raw chunks beside it only while both fit."""
CANCELLED = -3

_CONTROL_LINES = ("event:", "id:", "retry:", ":")
_text_decoder = msgspec.json.Decoder(str)
_any_decoder = msgspec.json.Decoder(Any)
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_NOT_JSON = (msgspec.MsgspecError, RecursionError)


class DecodedBody(msgspec.Struct, frozen=True, gc=False):
    """What a response body is once it has been read."""

    json: bytes | msgspec.Raw
    is_received: bool
    """It is the text that was received: there is no other body to store."""
    is_provider_error: bool = False
    """A chunk of an Anthropic stream reported an error: the body is that chunk, the status becomes 500."""


def read_text_body(literal: msgspec.Raw, status: int, provider: str, *, keep_chunks: bool = True) -> DecodedBody:
    """The body in a `textBody`, given as the JSON string literal that was received.

    JSON is that JSON, a stream is folded, and anything else is the text itself. With `keep_chunks` a folded body has
    its chunks beside it, where both fit.

    Raises:
        InvalidEvent: the literal is no JSON string.
    """
    try:
        text = readable_text(_text_decoder.decode(literal))
    except (*_NOT_JSON, UnicodeDecodeError) as fault:
        raise InvalidEvent(f"Invalid textBody: {fault}", code="invalid_body") from fault
    stripped = text.strip()
    if _may_be_json(stripped):
        try:
            return DecodedBody(_raw_decoder.decode(stripped), is_received=False)
        except _NOT_JSON:
            pass  # It is a stream or plain text: the two cases below.
    if status == CANCELLED:
        text = text.rpartition("\n")[0]
    chunks, rest = _chunks_of(text)
    if not chunks:
        return DecodedBody(literal, is_received=True)
    return _folded(chunks, rest, provider, keep_chunks)


def read_chunks(streamed_data: msgspec.Raw, provider: str, *, keep_chunks: bool = True) -> DecodedBody | None:
    """The body in `json.streamed_data`, as `read_text_body`'s; None when that is no array of chunks."""
    try:
        chunks = _items_decoder.decode(streamed_data)
    except (*_NOT_JSON, UnicodeDecodeError):
        return None
    return _folded(chunks, None, provider, keep_chunks) if chunks else None


def _may_be_json(text: str) -> bool:
    """Cheap no for the common cases: prose and streams. A scalar that is JSON counts as JSON too."""
    return bool(text) and (text[0] in '{["-' or text[0].isdigit() or text in ("true", "false", "null"))


def _chunks_of(text: str) -> tuple[list[msgspec.Raw], str | None]:
    """The JSON objects of a stream and what is left of its last line when that was cut off.

    No chunks: it is no stream, some line is neither data nor control.
    """
    chunks: list[msgspec.Raw] = []
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    for index, line in enumerate(lines):
        if not line or (not line.startswith("data:") and line.startswith(_CONTROL_LINES)):
            continue
        data = line.removeprefix("data:").strip()
        if not data or data == "[DONE]":
            continue
        chunk = _object(data)
        if chunk is not None:
            chunks.append(chunk)
        elif index == len(lines) - 1 and chunks:
            return chunks, line
        else:
            return [], None
    return chunks, None


def _object(data: str) -> msgspec.Raw | None:
    if not data.startswith("{"):
        return None
    try:
        return _raw_decoder.decode(data)
    except _NOT_JSON:
        return None


def _folded(raw_chunks: list[msgspec.Raw], rest: str | None, provider: str, keep_chunks: bool) -> DecodedBody:
    kept: list[Any] = [*raw_chunks, rest] if rest is not None else list(raw_chunks)
    try:
        chunks = [_any_decoder.decode(chunk) for chunk in raw_chunks]
    except (*_NOT_JSON, UnicodeDecodeError):
        # A number that no machine holds: the chunks are kept as they came.
        return DecodedBody(msgspec.json.encode({"streamed_data": kept}), is_received=False)
    if provider == "ANTHROPIC":
        for chunk, raw in zip(chunks, raw_chunks, strict=True):
            if isinstance(chunk, dict) and chunk.get("error"):
                return DecodedBody(raw, is_received=False, is_provider_error=True)
    folded = fold(chunks)
    if folded is None:
        return DecodedBody(msgspec.json.encode({"streamed_data": kept}), is_received=False)
    if keep_chunks:
        both = msgspec.json.encode({**folded, "streamed_data": kept})
        if len(both) <= FOLDED_BYTES_MAX:
            return DecodedBody(both, is_received=False)
    return DecodedBody(msgspec.json.encode(folded), is_received=False)
