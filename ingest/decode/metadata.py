"""What a Helicone client says beside the bodies: HTTP headers and `providerRequest.meta` (ingest.md section 3)."""

import re
from collections.abc import Mapping
from uuid import UUID, uuid5

import msgspec

from ingest.decode.limits import check_properties, check_text
from ingest.event import parse_uuid

PROPERTY_PREFIX = "helicone-property-"
REQUEST_ID_NAMESPACE = UUID("cb8862f9-72c3-5fbf-9177-a5bfb42b59c2")
"""Ids that are not UUIDs become UUIDv5 in this namespace: the same text is the same event."""

_FIELDS = {
    "helicone-session-id": "session_id",
    "helicone-session-name": "session_name",
    "helicone-session-path": "session_path",
    "helicone-user-id": "user_id",
    "helicone-request-id": "request_id",
    "helicone-model-override": "model_override",
    "helicone-omit-request": "omit_request",
    "helicone-omit-response": "omit_response",
}
_PROPERTIES = {
    "helicone-prompt-id": "Helicone-Prompt-Id",
    "helicone-experiment-id": "Helicone-Experiment-Id",
    "helicone-cache-enabled": "Helicone-Cache-Enabled",
    "helicone-cache-seed": "Helicone-Cache-Seed",
    "helicone-cache-bucket-max-size": "Helicone-Cache-Bucket-Max-Size",
    "helicone-cache-control": "Helicone-Cache-Control",
    "helicone-posthog-key": "Helicone-Sent-To-Posthog",
    "x-stripe-customer-id": "stripe_customer_id",
}
"""Stored as a property of this name; those of the cache only when the value is neither `false` nor zero."""
_CACHE = "helicone-cache-"
_FALSY = re.compile(r"false|[-+]?0+(\.0*)?(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_POSTHOG_KEY = "helicone-posthog-key"
_SPELLINGS = {
    "helicone_session_id": "helicone-session-id",
    "helicone_session_path": "helicone-session-path",
    "helicone_session_name": "helicone-session-name",
    "helicone_user_id": "helicone-user-id",
    "helicone_request_id": "helicone-request-id",
}
"""How LiteLLM's proxy, which copies only headers that begin with `helicone_`, spells them in `meta`."""
_SPELLED_PREFIX = "helicone_property_"
PROPERTY_PREFIXES = (PROPERTY_PREFIX, _SPELLED_PREFIX)
"""Of the same length."""


class Metadata(msgspec.Struct, gc=False):
    """The names that have meaning, with HTTP laid over `meta`; None where absent or empty."""

    session_id: str | None = None
    session_name: str | None = None
    session_path: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    model_override: str | None = None
    omit_request: str | None = None
    omit_response: str | None = None
    properties: dict[str, str] = {}


def has_meaning(name: str) -> bool:
    """Whether a lower-cased header or `meta` key has any effect. What has none is not even published."""
    return (
        name in _FIELDS
        or name in _PROPERTIES
        or name in _SPELLINGS
        or (name.startswith(PROPERTY_PREFIXES) and len(name) > len(PROPERTY_PREFIX))
    )


def meanings_of(name: str) -> tuple[str, ...]:
    """All names that a lower-cased header or `meta` key goes by: its own, its field's or its property's."""
    plain = _SPELLINGS.get(name, name)
    if plain in _FIELDS:
        return name, plain, _FIELDS[plain]
    if plain.startswith(PROPERTY_PREFIXES):
        return name, plain[len(PROPERTY_PREFIX) :]
    return name, _PROPERTIES.get(plain, plain)


def without_secret(name: str, value: str) -> str:
    """The value that may be published: of a Posthog key only that there was one."""
    return "true" if name == _POSTHOG_KEY else value


def event_id_of(request_id: str) -> str:
    """The event id that a sent request id stands for."""
    return parse_uuid(request_id) or str(uuid5(REQUEST_ID_NAMESPACE, request_id))


def read_metadata(meta: Mapping[str, msgspec.Raw], headers: Mapping[str, str]) -> Metadata:
    """Merge both sources; `headers` have lower-cased names and win. Nothing is checked yet."""
    found = Metadata()
    properties = {}
    for name, value in ({**_meta_texts(meta), **headers} if meta else headers).items():
        if field := _FIELDS.get(name):
            setattr(found, field, value)
        elif name.startswith(PROPERTY_PREFIX):
            if len(name) > len(PROPERTY_PREFIX):
                properties[name[len(PROPERTY_PREFIX) :]] = value
        elif (property_name := _PROPERTIES.get(name)) and not (name.startswith(_CACHE) and _FALSY.fullmatch(value)):
            properties[property_name] = without_secret(name, value)
    if found.request_id and parse_uuid(found.request_id) is None:
        properties["Helicone-Request-Id"] = found.request_id
    found.properties = properties
    return found


def check_metadata(found: Metadata) -> None:
    """The limits of section 5. A request id that is no UUID has a property's.

    Raises:
        InvalidEvent: a value or the number of properties is over its limit.
    """
    check_text("Helicone-Session-Id", found.session_id)
    check_text("Helicone-Session-Name", found.session_name)
    check_text("Helicone-Session-Path", found.session_path)
    check_text("Helicone-User-Id", found.user_id)
    check_text("Helicone-Model-Override", found.model_override)
    check_properties(found.properties)


def _meta_texts(meta: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """`meta` as if it were headers. An exact hyphenated key wins over a `helicone_…` spelling of it."""
    exact: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for key, raw in meta.items():
        name = key.lower()
        target = exact
        if name in _SPELLINGS:
            name, target = _SPELLINGS[name], spelled
        elif name.startswith(_SPELLED_PREFIX):
            name, target = PROPERTY_PREFIX + name[len(_SPELLED_PREFIX) :], spelled
        value = _text(raw, name)
        if value:
            target[name] = value
    return {**spelled, **exact}


def _text(raw: msgspec.Raw, name: str) -> str | None:
    text = bytes(raw).decode()
    if text.startswith('"'):
        return str(msgspec.json.decode(text)).strip(" \t")
    if text.startswith(("{", "[")):
        if not name.startswith(PROPERTY_PREFIX):
            return None
        return msgspec.json.format(text, indent=-1)
    return None if text == "null" else text
