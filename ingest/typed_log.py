"""What the strict log route refuses before it takes a log as all others are taken (ingest.md section 11). Pure."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ingest.decode.helicone_faults import FALSY, body_members, members, value_of
from ingest.decode.labels import OBJECT, first_byte

FIELDS_NAMED_MAX = 100
"""Unknown fields in one answer: it must not grow with what was sent."""
VALUE_BYTES_MAX = 1_024
"""A longer value is not sent back."""

Members = dict[str, msgspec.Raw]

_REQUIRED = ("providerRequest", "providerResponse")
_KNOWN = (*_REQUIRED, "timing", "provider")


class TypedFault(NamedTuple):
    """An answer in this route's own shapes."""

    status: int
    content: dict[str, Any]


class _Check(NamedTuple):
    parent: str
    """The top-level object, checked only when it is there."""
    name: str
    is_good: Callable[[Members, str], bool]
    message: str


def _is_object(parent: Members, name: str) -> bool:
    return name in parent and first_byte(parent[name]) == OBJECT


def _is_text(parent: Members, name: str) -> bool:
    value = value_of(parent, name)
    return isinstance(value, str) and value != ""


def _is_number(parent: Members, name: str) -> bool:
    return type(value_of(parent, name)) in (int, float)


def _is_number_or_none(parent: Members, name: str) -> bool:
    return _is_none(parent.get(name)) or _is_number(parent, name)


def _has_body(parent: Members, name: str) -> bool:
    return not _is_falsy(parent.get("json")) or _is_text(parent, "textBody")


_CHECKS = (
    _Check("providerRequest", "url", _is_text, "url must be a non-empty string"),
    _Check("providerRequest", "json", _is_object, "json must be an object"),
    _Check("providerRequest", "meta", _is_object, "meta must be an object"),
    _Check("providerResponse", "status", _is_number, "status must be a number"),
    _Check("providerResponse", "headers", _is_object, "headers must be an object"),
    _Check("providerResponse", "", _has_body, "either json or textBody is required"),
    _Check("timing", "startTime", _is_text, "startTime is required when timing is provided"),
    _Check("timing", "endTime", _is_text, "endTime is required when timing is provided"),
    _Check("timing", "timeToFirstToken", _is_number_or_none, "timeToFirstToken must be a number"),
)


def typed_fault(text: bytes) -> TypedFault | None:
    """The answer to a log that does not have the strict form; None for one that has.

    Raises:
        InvalidEvent: the text is not JSON.
    """
    body = body_members(text)
    details = _details(body)
    if details:
        return TypedFault(422, {"message": "Validation Failed", "details": details})
    errors = _errors(body)
    return TypedFault(400, {"isValid": False, "errors": errors}) if errors else None


def _details(body: Members) -> dict[str, Any]:
    """The top-level fields that are missing or unknown."""
    messages = {name: f"'{name}' is required" for name in _REQUIRED if name not in body}
    if not _is_none(body.get("provider")) and not isinstance(value_of(body, "provider"), str):
        messages["provider"] = "invalid string value"
    unknown = [name for name in body if name not in _KNOWN]
    for name in unknown[:FIELDS_NAMED_MAX]:
        messages[name] = f'"{name}" is an excess property and therefore is not allowed'
    return {name: {"message": message, "value": _sent(body.get(name))} for name, message in messages.items()}


def _errors(body: Members) -> list[dict[str, str]]:
    """Every check that fails, in the order of the table."""
    missing = [name for name in _REQUIRED if _is_falsy(body[name])]
    errors = [{"field": name, "message": f"{name} is required"} for name in missing]
    parents = {name: members(raw) for name, raw in body.items() if name not in missing and not _is_none(raw)}
    for parent, name, is_good, message in _CHECKS:
        if parent in parents and not is_good(parents[parent], name):
            errors.append({"field": f"{parent}.{name}" if name else parent, "message": message})
    return errors


def _sent(raw: msgspec.Raw | None) -> msgspec.Raw | None:
    return None if raw is None or memoryview(raw).nbytes > VALUE_BYTES_MAX else raw


def _is_none(raw: msgspec.Raw | None) -> bool:
    return raw is None or bytes(raw) == b"null"


def _is_falsy(raw: msgspec.Raw | None) -> bool:
    return raw is None or bytes(raw) in FALSY
