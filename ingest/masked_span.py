"""A project's masking rules applied to OpenTelemetry's messages, in place. Pure.

The messages are walked by their descriptors, so that a text field that a later version of the protocol adds is
masked too. Trace and span ids are bytes, not texts, and stay.
"""

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ingest.decode.metadata import meanings_of
from ingest.decode.spans.properties import helicone_name
from ingest.decode.spans.property_tables import CREDENTIAL, POSTHOG_KEY
from ingest.event import parse_uuid
from ingest.masking import MASKED, Masker

_SESSION_ID = re.compile(
    r"(?:.*[._-])?(?:session[._-]?id|conversation[._-]?id|thread_id|session\.previous_id)|(?:.*\.)?trace\.session",
    re.IGNORECASE,
)
"""Attributes that any row of otlp.md section 5 takes for a session's id, and those that are named like them."""


def mask_message(message: Message, masker: Masker) -> None:
    """Mask a span, a log record, a scope, a resource, or a message that holds them: every text and attribute of it.

    Fields that this version of the protocol does not know are left out: nobody can tell what they hold.
    """
    message.DiscardUnknownFields()
    _mask(message, masker)


def remove_secrets(message: Message) -> None:
    """Take Helicone's secret names out of every list of attributes, as `meta` and headers have them taken out: a key of
    ours goes, of a key of Posthog only that there was one stays (ingest.md section 3).
    """
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if field.is_repeated and field.message_type is KeyValue.DESCRIPTOR:
            kept = [one for one in value if _without_secret(one)]
            if len(kept) < len(value):
                del value[:]
                value.extend(kept)
        for one in value if field.is_repeated else [value]:
            remove_secrets(one)


def _without_secret(attribute: KeyValue) -> bool:
    name = (helicone_name(attribute.key) or "").lower()
    if name == POSTHOG_KEY:
        attribute.value.string_value = "true"
    return name != CREDENTIAL


def _mask(message: Message, masker: Masker) -> None:
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in values:
                if isinstance(one, KeyValue):
                    _mask_attribute(one, masker)
                elif isinstance(one, AnyValue):
                    _mask_value(one, masker, (), is_id=False)
                else:
                    _mask(one, masker)
        elif field.type == FieldDescriptor.TYPE_STRING:
            _set_texts(message, field, [masker.text(one) for one in values])


def _set_texts(message: Any, field: FieldDescriptor, texts: list[str]) -> None:
    if field.is_repeated:
        getattr(message, field.name)[:] = texts
    else:
        setattr(message, field.name, texts[0])


def _mask_attribute(attribute: KeyValue, masker: Masker) -> None:
    key = attribute.key
    is_id = key in masker.session_attributes or _SESSION_ID.fullmatch(key) is not None
    _mask_value(attribute.value, masker, _names(key), is_id=is_id)
    attribute.key = masker.text(key)


def _names(key: str) -> tuple[str, ...]:
    """What a key rule may call an attribute: its name, or any part of it, as if its dots were objects in objects."""
    parts = key.split(".")
    return key, *parts, *meanings_of(parts[-1].lower())


def _mask_value(value: AnyValue, masker: Masker, names: tuple[str, ...], *, is_id: bool) -> None:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        value.string_value = _masked_text(value.string_value, masker, names, is_id=is_id)
    elif kind is not None and masker.hides(*names):
        value.string_value = masker.identifier(str(getattr(value, kind)), *names) if is_id else MASKED
    elif kind == "array_value":
        for one in value.array_value.values:
            _mask_value(one, masker, (), is_id=is_id)
    elif kind == "kvlist_value":
        for attribute in value.kvlist_value.values:
            _mask_attribute(attribute, masker)
    elif kind == "bytes_value":
        text = value.bytes_value.decode("utf-8", "replace")
        if masker.text(text) != text:
            value.string_value = MASKED


def _masked_text(text: str, masker: Masker, names: tuple[str, ...], *, is_id: bool) -> str:
    if is_id:
        return masker.identifier(text, *names)
    if "request_id" in names and parse_uuid(text):
        return text
    return masker.field(text, *names)
