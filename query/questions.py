"""From a body of the right shape to a question: defaults, clamps, and what is out of range. Pure."""

import math
from typing import Any

from query import filters, requests, sessions
from query.bodies import RequestQueryBody, SessionQueryBody
from query.errors import InvalidQuestion
from query.filters import Branch, Leaf, Node
from query.instants import Window

SKIP_MAX = 2**62
"""Beyond it Postgres' OFFSET overflows; nobody has that many rows."""
ZONE_MINUTES_MAX = 1_440
SORTS_MEANING_DEFAULT = ("cache_created_at", "last_active", "values")
"""Accepted for Helicone's clients (read API section 4.1)."""
SORTS_NOT_YET = ("request_prompt", "response_text", "properties")


def sessions_question(body: SessionQueryBody) -> sessions.SessionsQuestion:
    """What a session query asks (read API section 3.1).

    Raises:
        InvalidQuestion: a value that is out of range; its text says which.
    """
    _check_zone(body.timezoneDifference)
    if "\0" in body.search or "\0" in body.nameEquals:
        raise InvalidQuestion("Invalid search: U+0000 is in no session id or name")
    sort, descending = _session_sort(body.sort)
    return sessions.SessionsQuestion(
        window=Window.of_unix_ms(body.timeFilter.startTimeUnixMs, body.timeFilter.endTimeUnixMs),
        filter=filters.parse(body.filter, of_sessions=True),
        search=body.search,
        name=body.nameEquals,
        sort=sort,
        descending=descending,
        sessions_max=_sessions_max(body.limit),
        skip=min(max(math.floor(body.offset or 0), 0), SKIP_MAX),
        whole=body.totals == "session",
    )


def _sessions_max(limit: float | None) -> int:
    """Floored; 0 or none is 50, beyond 1000 is 1000, below 0 none at all."""
    floored = math.floor(limit or 0)
    return max(min(floored or 50, sessions.SESSIONS_MAX), 0)


def _session_sort(sort: dict[str, Any]) -> tuple[str, bool]:
    if not sort:
        return "created_at", True
    if len(sort) > 1:
        raise InvalidQuestion("Invalid sort: name one field")
    ((name, direction),) = sort.items()
    if name not in sessions.SORTS:
        raise InvalidQuestion(f"Unknown sort field: {name}")
    return name, _is_descending(direction)


def _is_descending(direction: object) -> bool:
    if direction not in ("asc", "desc"):
        raise InvalidQuestion(f"Invalid sort direction: {direction}")
    return direction == "desc"


def _check_zone(minutes: object) -> None:
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or abs(minutes) > ZONE_MINUTES_MAX:
        raise InvalidQuestion("Invalid timezone difference")


def requests_question(body: RequestQueryBody) -> requests.RequestsQuestion:
    """What a request query asks (read API section 4.1).

    Raises:
        InvalidQuestion: a value that is out of range, or something that is not answered yet; its text says which.
    """
    if body.isScored is not None:
        raise InvalidQuestion("Filter not supported yet: isScored")
    skip = math.floor(body.offset or 0)
    if skip < 0:
        raise InvalidQuestion("unsupport offset value")
    requests_max = 10 if body.limit is None else math.floor(body.limit)
    if not 0 <= requests_max <= requests.REQUESTS_MAX:
        raise InvalidQuestion("invalid limit")
    sort, descending = _request_sort(body.sort)
    return requests.RequestsQuestion(
        filter=_with_switches(filters.parse(body.filter, of_sessions=False), body),
        sort=sort,
        descending=descending,
        requests_max=requests_max,
        skip=min(skip, SKIP_MAX),
    )


def _request_sort(sort: dict[str, Any]) -> tuple[str, bool]:
    """The first field of the specification's list that is present."""
    for name in sort:
        if name not in requests.SORTS and name not in SORTS_MEANING_DEFAULT + SORTS_NOT_YET:
            raise InvalidQuestion(f"Unknown sort field: {name}")
    for name in SORTS_NOT_YET:
        if name in sort:
            raise InvalidQuestion(f"Sort not supported yet: {name}")
    for name in requests.SORTS:
        if name in sort:
            if name != "random":
                return name, _is_descending(sort[name])
            if sort[name] is True:
                return name, False
            raise InvalidQuestion(f"Invalid sort direction: {sort[name]}")
    return "created_at", True


def _with_switches(node: Node, body: RequestQueryBody) -> Node:
    """The filter, and what the body's own switches ask, which are filters in another dress."""
    switches: list[object] = []
    if body.isCached is not None:
        switches.append({"request_response_rmt": {"cached": {"equals": body.isCached}}})
    if body.isPartOfExperiment is not None:
        operator = "not-equals" if body.isPartOfExperiment else "equals"
        switches.append({"properties": {"Helicone-Experiment-Id": {operator: ""}}})
    for switch in switches:
        leaf = filters.parse(switch, of_sessions=False)
        node = leaf if node == Leaf(()) else Branch("and", node, leaf)
    return node
