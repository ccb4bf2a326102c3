"""Status and error of a span (otlp.md section 10)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.trace.v1 import trace_pb2

from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.values import number_of, text_of
from ingest.event import is_error_status

_ERROR = trace_pb2.Status.STATUS_CODE_ERROR
OK, TIMEOUT, CANCELLED, FAILED = 200, -1, -3, 500
_STATUS_CODES = ("http.response.status_code", "http.status_code")


class Outcome(NamedTuple):
    """How a span ended. The error's parts are None unless it is one."""

    status: int
    is_error: bool
    error_type: str | None = None
    error_message: str | None = None
    stacktrace: str | None = None


def outcome_of(status: trace_pb2.Status, attributes: Attributes, exceptions: Sequence[Mapping[str, Any]]) -> Outcome:
    """Status and error; `exceptions` are the attributes of the span events `exception`, in order."""
    exception = exceptions[-1] if exceptions else {}
    failed = status.code == _ERROR
    if not failed and attributes.peek("langfuse.observation.level") != "ERROR":
        return Outcome(OK, is_error=False)
    types = [
        text for value in (attributes.peek("error.type"), exception.get("exception.type")) if (text := text_of(value))
    ]
    code = _error_status(attributes, types) if failed else FAILED
    return Outcome(
        code,
        is_error_status(code),
        attributes.text("error.type") or (types[0] if types else "_OTHER"),
        (text_of(status.message) if failed else None)
        or attributes.text("langfuse.observation.status_message")
        or text_of(exception.get("exception.message"))
        or None,
        text_of(exception.get("exception.stacktrace")) or None,
    )


def _error_status(attributes: Attributes, types: list[str]) -> int:
    for name in _STATUS_CODES:
        code = _http_error(attributes.peek(name))
        if code is not None:
            return code
    for text in types:
        code = _http_error(text)
        if code is not None:
            return code
    if any(text.lower() == "timeout" or text.endswith(("TimeoutError", "Timeout")) for text in types):
        return TIMEOUT
    if any(text.lower() == "cancelled" or text.endswith("CancelledError") for text in types):
        return CANCELLED
    return FAILED


def _http_error(value: Any) -> int | None:
    number = number_of(value)
    return int(number) if number is not None and 400 <= number < 600 and number == int(number) else None
