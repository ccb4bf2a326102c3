"""What an answer of the server means for the events that were sent, and how long to wait before trying again. Pure."""

import json
import random
from dataclasses import dataclass
from typing import Any

from pathline.counts import Reason
from pathline.limits import Limits
from pathline.transport import Answer

AGAIN = frozenset({408, 429, 502, 503, 504})
"""The server, or what stands before it, cannot take them now and may take them later."""

FAULT_ATTEMPTS_MAX = 5
"""A 500 may be an accident or these very events; the other events do not wait for ever to find out."""


@dataclass(frozen=True)
class Accepted:
    """The server has them, but for those it names with a code."""

    rejected_codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Again:
    """Nothing was taken, or nobody knows; sending again is safe because every event has an id."""

    after_seconds: float | None = None


@dataclass(frozen=True)
class TooLarge:
    """Smaller bodies may be taken."""


@dataclass(frozen=True)
class Refused:
    """Never to be sent again."""

    reason: Reason
    code: str


Verdict = Accepted | Again | TooLarge | Refused


def verdict_of(answer: Answer, attempt: int) -> Verdict:
    """What the answer to the attempt with this number (from 1) means."""
    status = answer.status
    if status == 200:
        return Accepted(_rejected_codes(answer.body))
    if status in AGAIN or (status == 500 and attempt < FAULT_ATTEMPTS_MAX):
        return Again(answer.retry_after_seconds)
    if status == 413:
        return TooLarge()
    if status in (401, 403):
        return Refused("unauthorized", _code(answer))
    return Refused("rejected", _code(answer))


def wait_seconds(attempt: int, retry_after_seconds: float | None, limits: Limits, jitter: random.Random) -> float:
    """Exponential backoff with full jitter; what the server asks for is the least.

    The jitter comes on top of `Retry-After` too: clients that were all told the same must not come back as one.
    """
    ceiling = min(limits.backoff_first_seconds * 2.0 ** min(attempt - 1, 32), limits.backoff_max_seconds)
    least = min(retry_after_seconds or 0.0, limits.retry_after_max_seconds)
    return least + jitter.uniform(0.0, ceiling)


def _rejected_codes(body: bytes) -> tuple[str, ...]:
    results = _object(body).get("results")
    if not isinstance(results, list):
        return ()
    return tuple(
        str(result.get("code", "rejected"))
        for result in results
        if isinstance(result, dict) and result.get("status") == "rejected"
    )


def _code(answer: Answer) -> str:
    code = _object(answer.body).get("code")
    return code if isinstance(code, str) else f"http_{answer.status}"


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
