"""What a project may decide for itself: the settings that travel with its records under a version number.

A version never changes once it exists. Every record names the version it was received under, so decoding it again, in a
replay years later, decides as it did the first time.
"""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from infra.alert_rules import AlertRule, Webhook
from infra.masking_patterns import BUILTINS, InvalidPattern, check_pattern

Seconds = Annotated[int, msgspec.Meta(ge=1, le=7 * 24 * 3600)]
Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class InvalidSettings(ValueError):
    """Settings that break a rule; the text names the field and what it may be."""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Reads a field from an attribute of a span or its resource, before all other tables (otlp.md section 13)."""

    field: Annotated[
        str, msgspec.Meta(pattern=r"^(session_id|session_name|user_id|path|model|provider|property:.{1,256})$")
    ]
    attribute: Name
    scope: Annotated[str, msgspec.Meta(pattern=r"^(span|resource)$")] = "span"


class MaskingRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is removed before anything leaves ingest: exactly one of the three is given.

    `key`: every value under an object key (or a property, an attribute) of that name, compared without case.
    `pattern`: every match of the regular expression in any text. `builtin`: the same for a named pattern of ours.
    """

    key: Name | None = None
    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] | None = None
    builtin: Name | None = None


class ProjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One version of a project's settings."""

    idle_limit_seconds: Seconds = 300
    """A session whose latest event was received within this time is still active."""
    join_window_seconds: Seconds = 3600
    """How long a span waits for its ancestors, in the broker's time (otlp.md section 6)."""
    retention_days: Days | None = None
    """Events that start earlier than this before their receipt are refused; None: none are (ingest.md section 6).
    Requests leave the store a day after it has passed."""
    session_retention_days: Days | None = None
    """Sessions leave when their last event ended earlier than this, and never before their requests; None: never."""
    events_per_second_max: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Rate limit of the project; None: none. Above it events are answered 429."""
    otlp_count_span_usage: bool = False
    """Whether tokens and cost that stand on agent and chain spans count."""
    otlp_trace_as_session: bool = False
    """Whether a trace without any session id is a session of its own, named by the trace id."""
    mappings: Annotated[tuple[Mapping, ...], msgspec.Meta(max_length=100)] = ()
    """In order; the first that finds a value decides its field."""
    masking: Annotated[tuple[MaskingRule, ...], msgspec.Meta(max_length=100)] = ()
    alerts: Annotated[tuple[AlertRule, ...], msgspec.Meta(max_length=20)] = ()
    """Not by the version that a record names: the current ones count."""
    webhook: Webhook | None = None
    """Where alerts are sent."""


DEFAULTS = ProjectSettings()

_decoder = msgspec.json.Decoder(ProjectSettings)
_encoder = msgspec.json.Encoder()


def parse_settings(text: str | bytes) -> ProjectSettings:
    """Settings from their JSON; what is left out has its default.

    Raises:
        InvalidSettings: not JSON, an unknown field, a value out of range, a masking rule that cannot be run, two alerts
            of one name, or a webhook's URL that cannot be called.
    """
    try:
        settings = _decoder.decode(text)
    except msgspec.MsgspecError as fault:
        raise InvalidSettings(f"Invalid settings: {fault}") from fault
    for place, rule in enumerate(settings.masking):
        if wrong := _masking_fault(rule):
            raise InvalidSettings(f"Invalid settings: masking[{place}] {wrong}")
    if wrong := _alerts_fault(settings):
        raise InvalidSettings(f"Invalid settings: {wrong}")
    return settings


def check_together(settings: ProjectSettings) -> ProjectSettings:
    """The settings, if each goes with the others.

    Raises:
        InvalidSettings: sessions would leave before their requests, or alerts have nowhere to go.
    """
    sessions, requests = settings.session_retention_days, settings.retention_days
    if sessions is not None and (requests is None or sessions < requests):
        raise InvalidSettings(
            "Invalid settings: session_retention_days may not be shorter than retention_days, which is "
            f"{requests or 'none'}: sessions stay as long as their requests"
        )
    if settings.alerts and settings.webhook is None:
        raise InvalidSettings("Invalid settings: alerts need a webhook: set both, or no alerts")
    return settings


def settings_text(settings: ProjectSettings) -> str:
    """The JSON of settings, without the defaults. `parse_settings` of it gives the same settings."""
    return _encoder.encode(settings).decode()


def _masking_fault(rule: MaskingRule) -> str | None:
    if sum(part is not None for part in (rule.key, rule.pattern, rule.builtin)) != 1:
        return "needs exactly one of `key`, `pattern`, `builtin`"
    if rule.builtin is not None and rule.builtin not in BUILTINS:
        return f"has no builtin '{rule.builtin[:64]}': there are {', '.join(sorted(BUILTINS))}"
    if rule.pattern is not None:
        try:
            check_pattern(rule.pattern)
        except InvalidPattern as fault:
            return f"has the invalid pattern '{rule.pattern[:64]}': {fault}"
    return None


def _alerts_fault(settings: ProjectSettings) -> str | None:
    names = [rule.name for rule in settings.alerts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"alerts has the name '{twice[0]}' twice"
    if settings.webhook is not None and not _is_web_address(settings.webhook.url):
        return "webhook.url is no http or https address of a host, without user and password"
    return None


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Looked at for its ValueError.
        _ = parts.port
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url
    return is_plain and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
