"""Answers as raw ASGI messages, and the one shape of an error: `{"error": text, "code": stable_code}`."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.types import Send

from ingest.errors import IngestError, InternalError, MethodNotAllowed, UnsupportedEncoding
from ingest.event import InvalidEvent

HeaderList = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
"""Browsers may log with a write-only key from any page."""

Fault = IngestError | InvalidEvent


async def send_answer(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    """Send a whole answer; `headers` without the length."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, content: Any, more_headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Send a JSON answer that is not on the hot path."""
    await send_answer(send, status, [JSON, ANY_ORIGIN, *more_headers], msgspec.json.encode(content))


async def send_fault(send: Send, fault: Fault) -> None:
    """Answer what was refused, with when to try again or what to send instead."""
    content = {"error": fault.text, "code": fault.code}
    if isinstance(fault, InternalError):
        content["id"] = fault.correlation_id
    headers = fault_headers(fault)
    if isinstance(fault, MethodNotAllowed):
        headers.append((b"allow", fault.allowed.encode()))
    await send_json(send, fault.status, content, headers)


def fault_headers(fault: Fault) -> HeaderList:
    """What a refusal says in headers: when to try again, what to send instead, that the connection ends."""
    headers: HeaderList = []
    retry_after_seconds = getattr(fault, "retry_after_seconds", None)
    if retry_after_seconds is not None:
        headers.append((b"retry-after", str(retry_after_seconds).encode()))
    if isinstance(fault, UnsupportedEncoding):
        headers.append((b"accept-encoding", ", ".join(fault.accepted).encode()))
    if fault.status in (408, 413):
        # The rest of the body is not read: the connection cannot be used again.
        headers.append((b"connection", b"close"))
    return headers
