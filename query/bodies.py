"""The bodies of the Helicone-compatible questions: strict models, and their faults in Helicone's words. Pure.

A field that is unknown or of the wrong type is 422 (here); a value that is out of range is 400 (in `questions.py`).
"""

from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from query.errors import InvalidQuestion, ValidationFailed

Model = TypeVar("Model", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class TimeFilter(_Body):
    """A window in Unix milliseconds; both ends excluded."""

    startTimeUnixMs: float | None = None
    endTimeUnixMs: float | None = None


class SessionQueryBody(_Body):
    """`POST /v1/session/query` (read API section 3.1)."""

    timeFilter: TimeFilter = TimeFilter()
    search: str = ""
    nameEquals: str = ""
    timezoneDifference: Any = 0
    """Any: a value that is not a number is 400 like one out of range (section 1)."""
    filter: Any = "all"
    offset: float | None = None
    limit: float | None = None
    sort: dict[str, Any] = {}
    totals: Literal["matching", "session"] = "matching"


class RequestQueryBody(_Body):
    """`POST /v1/request/query` and `/v1/request/query-clickhouse` (read API section 4.1)."""

    filter: Any = "all"
    offset: float | None = None
    limit: float | None = None
    sort: dict[str, Any] = {}
    isCached: bool | None = None
    isScored: bool | None = None
    isPartOfExperiment: bool | None = None
    includeInputs: bool | None = None


MESSAGES = {
    "missing": "'{name}' is required",
    "extra_forbidden": '"{name}" is an excess property and therefore is not allowed',
    "float_type": "invalid float number",
    "finite_number": "invalid float number",
    "string_type": "invalid string value",
    "bool_type": "invalid boolean value",
    "dict_type": "invalid object",
    "model_type": "invalid object",
    "literal_error": "should be one of the following; {expected}",
}
"""Helicone's texts by pydantic's fault."""


def read_body(model: type[Model], raw: bytes) -> Model:
    """Read the JSON body of a question.

    Raises:
        InvalidQuestion: not JSON.
        ValidationFailed: JSON of another shape; names every field.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        raise InvalidQuestion(f"Invalid JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise ValidationFailed({"": ("invalid object", value)})
    try:
        return model.model_validate(value)
    except ValidationError as fault:
        raise ValidationFailed(dict(map(_fault, fault.errors(include_url=False)))) from fault


def _fault(error: Any) -> tuple[str, tuple[str, object]]:
    place = [str(part) for part in error["loc"]]
    text = MESSAGES.get(error["type"], error["msg"])
    message = text.format(name=place[-1], expected=error.get("ctx", {}).get("expected"))
    value = None if error["type"] == "missing" else error["input"]
    return ".".join(place), (message, value)
