"""Answers: the one JSON envelope, and how fresh the store was when it answered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from starlette.responses import Response

from query.errors import QueryError
from query.instants import iso

AS_OF_HEADER = "pathline-as-of"


def json_response(
    content: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer. Texts of bodies go in as `orjson.Fragment` and come out byte for byte."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def answer(data: Any, as_of: datetime | None, **members: object) -> Response:
    """The envelope of a success. `as_of`: every record up to this broker time is in the answer; None: not known."""
    headers = {AS_OF_HEADER: iso(as_of)} if as_of else {}
    return json_response({"data": data, **members, "error": None}, headers=headers)


def refusal(error: QueryError) -> Response:
    """The envelope of an error."""
    return json_response(error.envelope(), status=error.status, headers=error.headers())
