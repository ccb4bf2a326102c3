"""Why a body is no Helicone log, in the order and the words of ingest.md section 8. Runs only after a failure."""

from typing import Any

import msgspec

from ingest.decode.json_faults import UNREADABLE, refusal
from ingest.event import InvalidEvent

_MISSING = "One of the required fields is missing, providerRequest, providerResponse, or timing"
FALSY = (None, b"null", b"false", b"0", b'""', b"0.0", b"-0")
_TIME_PARTS = ("seconds", "milliseconds")
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_any_decoder = msgspec.json.Decoder(Any)


def log_refusal(text: bytes | msgspec.Raw, fault: Exception) -> InvalidEvent:
    """The first fault of a text that did not parse as a log; `fault` is what msgspec said."""
    if not isinstance(fault, msgspec.ValidationError):
        return refusal(fault)
    body = body_members(text)
    request, response = _spelling(body, "providerRequest"), _spelling(body, "providerResponse")
    if request in FALSY or response in FALSY:
        return InvalidEvent(_MISSING, code="missing_field")
    found = (
        _request_fault(members(request))
        or _response_fault(members(response))
        or _timing_fault(_spelling(body, "timing"))
    )
    return InvalidEvent(found, code="invalid_type") if found else refusal(fault)


def body_members(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a whole body; none when it is no object.

    Raises:
        InvalidEvent: it is not JSON, which may show only after a value of the wrong type.
    """
    try:
        return members(_raw_decoder.decode(text))
    except UNREADABLE as fault:
        raise refusal(fault) from fault


def _request_fault(request: dict[str, msgspec.Raw]) -> str | None:
    if not isinstance(value_of(request, "url"), str):
        return "Invalid providerRequest: 'url' should be a string"
    if not _is_object_or_absent(request, "meta"):
        return "Invalid providerRequest: 'meta' should be an object"
    return None


def _response_fault(response: dict[str, msgspec.Raw]) -> str | None:
    if type(value_of(response, "status")) not in (int, float):
        return "Invalid providerResponse: 'status' should be a number"
    return headers_fault(response.get("headers"))


def headers_fault(headers: msgspec.Raw | None) -> str | None:
    """The fault of `providerResponse.headers`, which is not stored and so is not parsed either."""
    if headers is None or bytes(memoryview(headers)[:1]) in (b"", b"{", b"n"):
        return None
    return "Invalid providerResponse: 'headers' should be an object"


def _timing_fault(text: bytes | None) -> str | None:
    if text is None or text == b"null":
        return None
    timing = members(text)
    if not timing and text != b"{}":
        return "Invalid timing structure or value type"
    for name in ("startTime", "endTime"):
        moment = value_of(timing, name)
        if isinstance(moment, str):
            continue
        parts = moment if isinstance(moment, dict) else {}
        for part in _TIME_PARTS:
            if type(parts.get(part)) not in (int, float):
                return f"Invalid timing: '{name}.{part}' should be a number"
    return None


def _is_object_or_absent(members: dict[str, msgspec.Raw], name: str) -> bool:
    spelling = _spelling(members, name)
    return spelling is None or spelling == b"null" or spelling.startswith(b"{")


def members(text: bytes | msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """An object's members unparsed; none for anything else."""
    try:
        return _members_decoder.decode(text or b"{}")
    except UNREADABLE:
        return {}


def _spelling(members: dict[str, msgspec.Raw], name: str) -> bytes | None:
    raw = members.get(name)
    return None if raw is None else bytes(raw)


def value_of(members: dict[str, msgspec.Raw], name: str) -> Any:
    """A member's value; None when it is missing or beyond what a machine holds."""
    raw = members.get(name)
    if raw is None:
        return None
    try:
        return _any_decoder.decode(raw)
    except UNREADABLE:
        return None
