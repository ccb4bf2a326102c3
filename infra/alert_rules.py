"""What a project wants to be told of, and where: rules over a session's figures, and a webhook.

A rule fires at most once for a session. Its name is what "once" goes by: under a new name it is a new rule.
"""

from typing import Annotated

import msgspec

RuleName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Threshold = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    name: RuleName


class SessionFailed(_Rule, frozen=True, tag="session_failed"):
    """The session ended as failed: an end event says so, or its latest event is an error and it has gone idle."""


class CostAbove(_Rule, frozen=True, tag="cost_above"):
    """The session cost more."""

    usd: Threshold


class DurationAbove(_Rule, frozen=True, tag="duration_above"):
    """More time lies between the start of the session's first request and the end of its last."""

    seconds: Threshold


class ErrorShareAbove(_Rule, frozen=True, tag="error_share_above"):
    """A greater share of the session's requests failed, once it has enough of them."""

    share: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    requests_min: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


AlertRule = SessionFailed | CostAbove | DurationAbove | ErrorShareAbove


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a project's alerts are posted, and what they are signed with."""

    url: Annotated[str, msgspec.Meta(max_length=2048)]
    """May hold a secret of the receiver's: shown to administrators only, never logged."""
    secret: Annotated[str, msgspec.Meta(min_length=16, max_length=256)]
    """Key of the signature. Never shown, never logged."""

    def __repr__(self) -> str:
        return "Webhook(…)"


def threshold_of(rule: AlertRule) -> float | None:
    """The figure that must be exceeded, in the unit of its field; a failed session has none."""
    match rule:
        case SessionFailed():
            return None
        case CostAbove():
            return rule.usd
        case DurationAbove():
            return rule.seconds
        case ErrorShareAbove():
            return rule.share
