"""Answers of the OTLP routes, each in the encoding of its request (otlp.md section 2.2)."""

from typing import Any

import msgspec
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from starlette.types import Send

from ingest.errors import InvalidBody
from ingest.routes.answers import ANY_ORIGIN, JSON, Fault, HeaderList, fault_headers, send_answer

PROTOBUF_TYPE, JSON_TYPE = b"application/x-protobuf", b"application/json"
PROTOBUF = (b"content-type", PROTOBUF_TYPE)

RPC_CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED,
    500: code_pb2.INTERNAL,
    503: code_pb2.UNAVAILABLE,
}
"""The code of a `Status`, by the HTTP status."""
MESSAGE_CHARACTERS_MAX = 16_384
"""Of a text in an answer; an answer may have 4 MiB."""

_RETRY_SECONDS = 1
_ALLOW_POST = (b"allow", b"POST")
_TYPE_PREFIX = "type.googleapis.com/google.rpc."


async def send_status(send: Send, fault: Fault, encoding: bytes) -> None:
    """Answer a refusal as `google.rpc.Status`."""
    # Clients send again after 429, 502, 503 and 504 alone: a body that was too slow must not be lost.
    status = 503 if fault.status == 408 else fault.status
    headers = fault_headers(fault)
    if status in (429, 503) and not any(name == b"retry-after" for name, _ in headers):
        headers.append((b"retry-after", str(_RETRY_SECONDS).encode()))
    if status == 405:
        headers.append(_ALLOW_POST)
    text = fault.text[:MESSAGE_CHARACTERS_MAX]
    code = RPC_CODES[status]
    is_protobuf = encoding == PROTOBUF_TYPE
    body = _status_protobuf(code, text, fault) if is_protobuf else _status_json(code, text, fault)
    await send_answer(send, status, [PROTOBUF if is_protobuf else JSON, ANY_ORIGIN, *headers], body)


def _violation(fault: Fault) -> str | None:
    """The place that a body's fault names; `body` where it is the whole."""
    return (fault.place or "body") if isinstance(fault, InvalidBody) else None


def _status_protobuf(code: int, text: str, fault: Fault) -> bytes:
    status = status_pb2.Status(code=code, message=text)
    place = _violation(fault)
    if place is not None:
        detail = error_details_pb2.BadRequest()
        detail.field_violations.add(field=place, description=text)
        status.details.add().Pack(detail)
    return bytes(status.SerializeToString())


def _status_json(code: int, text: str, fault: Fault) -> bytes:
    details: list[dict[str, Any]] = []
    place = _violation(fault)
    if place is not None:
        violation = {"field": place, "description": text}
        details.append({"@type": f"{_TYPE_PREFIX}BadRequest", "fieldViolations": [violation]})
    return msgspec.json.encode({"code": code, "message": text, "details": details})


async def send_traces_answer(send: Send, encoding: bytes, rejected: int, message: str) -> None:
    """Say how many spans were refused and why, or warn; nothing at all when both are empty."""
    answer = traces.ExportTraceServiceResponse()
    if message:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message[:MESSAGE_CHARACTERS_MAX]
    await _send(send, encoding, answer, "rejectedSpans", rejected, message)


async def send_logs_answer(send: Send, encoding: bytes, rejected: int, message: str) -> None:
    """As `send_traces_answer`, for log records."""
    answer = logs.ExportLogsServiceResponse()
    if message:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = message[:MESSAGE_CHARACTERS_MAX]
    await _send(send, encoding, answer, "rejectedLogRecords", rejected, message)


async def _send(send: Send, encoding: bytes, answer: Message, member: str, rejected: int, message: str) -> None:
    headers: HeaderList
    if encoding == PROTOBUF_TYPE:
        headers, body = [PROTOBUF, ANY_ORIGIN], answer.SerializeToString()
    else:
        partial = {member: str(rejected), "errorMessage": message[:MESSAGE_CHARACTERS_MAX]}
        headers, body = [JSON, ANY_ORIGIN], msgspec.json.encode({"partialSuccess": partial} if message else {})
    await send_answer(send, 200, headers, body)
