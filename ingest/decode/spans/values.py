"""OTLP's `AnyValue` and its lists of attributes as plain Python values that are legal JSON."""

import math
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ingest.decode.json_faults import UNREADABLE
from ingest.decode.surrogates import readable_text
from ingest.event import InvalidEvent

DEPTH_MAX = 100
"""Of lists and maps inside an attribute. Protobuf itself reads no deeper; a message built in memory may be."""
PARSED_DEPTH_MAX = 200
"""A JSON text that nests deeper stays text."""

_DIGITS_MAX = 40
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def read_attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """All attributes as a dict. A key that occurs twice keeps its last value; one without a value is None."""
    found = {}
    for attribute in attributes:
        value = attribute.value
        # Most are texts and numbers, and one that is not empty needs no question which kind it is.
        found[attribute.key] = value.string_value or value.int_value or read_value(value)
    return found


def read_value(value: AnyValue, depth: int = 0) -> Any:
    """The value; bytes as base64, NaN and the infinities as their names, because JSON has neither.

    Raises:
        InvalidEvent: nested deeper than any message on the wire can be.
    """
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            return finite(value.double_value)
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case "array_value" if depth < DEPTH_MAX:
            return [read_value(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value" if depth < DEPTH_MAX:
            return {item.key: read_value(item.value, depth + 1) for item in value.kvlist_value.values}
        case "array_value" | "kvlist_value":
            raise InvalidEvent("Invalid attribute: nested too deep", code="invalid_event")
    return None


def finite(number: float) -> float | str:
    """The number, or the name that OTLP's JSON has for one that JSON has not."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def text_of(value: Any) -> str:
    """A value as text: a text as it is, others as JSON; without U+0000. Empty: there is none."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    return text.replace("\0", "") if "\0" in text else text


def named_text(name: str, value: Any) -> str:
    """`text_of` an attribute of this name; MLflow writes its texts as JSON, so that a model is `"\\"gpt-4o\\""`."""
    text = text_of(value)
    if text[:1] == '"' and name.startswith("mlflow."):
        return text_of(parsed(text))
    return text


def json_text(value: Any) -> str:
    """The compact JSON of a value."""
    return _encoder.encode(value).decode()


def number_of(value: Any) -> int | float | None:
    """A finite number, given as one or as its text; None for anything else."""
    if type(value) is str:
        value = _number_in(value)
    if type(value) is int:
        return value
    return value if type(value) is float and math.isfinite(value) else None


def _number_in(text: str) -> int | float | None:
    text = text.strip()
    if len(text) > _DIGITS_MAX:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return None


def parsed(value: Any) -> Any:
    """What a JSON text says; anything that is no JSON text, or nests absurdly deep, as it is."""
    if type(value) is not str or not value or value[0] not in '{["0123456789-tfn \t\r\n':
        return value
    try:
        found = _decoder.decode(readable_text(value))
    except UNREADABLE:
        return value
    many = value.count("[") + value.count("{") > PARSED_DEPTH_MAX
    return value if many and _is_deep(found) else found


def _is_deep(value: Any) -> bool:
    """Whether a value nests so deep that whoever encodes it again, below other calls, could run out of stack."""
    level = [value]
    for _ in range(PARSED_DEPTH_MAX):
        inner = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def parsed_structure(value: Any) -> Any:
    """Like `parsed`, for texts that may be prose: only an object, a list or a quoted text is taken for JSON."""
    return parsed(value) if type(value) is str and value.lstrip()[:1] in ("{", "[", '"') else value


def object_of(value: Any) -> dict[str, Any]:
    """A map, given as one or as its JSON text; empty for anything else."""
    value = parsed_structure(value)
    return value if isinstance(value, dict) else {}
