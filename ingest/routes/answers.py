"""Answers as raw ASGI messages, and the one shape of an error: `{"error": text, "code": stable_code}`."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.types import Send

from ingest.errors import IngestError, UnsupportedEncoding
from ingest.event import InvalidEvent

HeaderList = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
"""Browsers may log with a write-only key from any page."""
HTTP_FAULTS = {
    "not_found": (404, "invalid path"),
    "method_not_allowed": (405, "Method not allowed"),
    "internal_error": (500, "Internal error"),
}
"""Faults of the request line and our own: code to (status, text)."""


async def send_answer(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    """Send a whole answer; `headers` without the length."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, content: Any, more_headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Send a JSON answer that is not on the hot path."""
    await send_answer(send, status, [JSON, ANY_ORIGIN, *more_headers], msgspec.json.encode(content))


async def send_fault(send: Send, fault: IngestError | InvalidEvent) -> None:
    """Answer what was refused, with when to try again or what to send instead."""
    headers: HeaderList = []
    retry_after_seconds = getattr(fault, "retry_after_seconds", None)
    if retry_after_seconds is not None:
        headers.append((b"retry-after", str(retry_after_seconds).encode()))
    if isinstance(fault, UnsupportedEncoding):
        headers.append((b"accept-encoding", ", ".join(fault.accepted).encode()))
    if fault.status in (408, 413):
        # The rest of the body is not read: the connection cannot be used again.
        headers.append((b"connection", b"close"))
    await send_json(send, fault.status, {"error": fault.text, "code": fault.code}, headers)


async def send_http_fault(send: Send, code: str, more_headers: Sequence[tuple[bytes, bytes]] = (), **more: str) -> None:
    """Answer one of `HTTP_FAULTS`."""
    status, text = HTTP_FAULTS[code]
    await send_json(send, status, {"error": text, "code": code, **more}, more_headers)
