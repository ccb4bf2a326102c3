"""Spans as they lie on the wire: cut out of an export and put into messages of their own, without a second encoding.

Asking protobuf's Python objects for twenty attributes costs more than all else that the door does. So an export is read
with message types of our own, which say of the same bytes: a span is bytes, and its attributes are a map. On the wire
a protobuf map is what OTLP's list of attributes is: repeated pairs of a key (1) and a value (2). Of two pairs with one
key a map keeps the last, as otlp.md section 2.1 wants it.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

_PACKAGE = "pathline.otlp"
_FIELD = descriptor_pb2.FieldDescriptorProto


class WireSpan(Protocol):
    """A span whose attributes are a map."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start_time_unix_nano: int
    end_time_unix_nano: int
    events: list[trace_pb2.Span.Event]
    attributes: Mapping[str, common_pb2.AnyValue]


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="pathline/otlp.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[common_pb2.DESCRIPTOR.name, trace_pb2.DESCRIPTOR.name],
    )
    # Each with its first two fields: what is shared, and the list of what shares it.
    for name, shared, repeated, kind in (
        ("Export", None, "resource_spans", "ResourceSpans"),
        ("ResourceSpans", "resource", "scope_spans", "ScopeSpans"),
        ("ScopeSpans", "scope", "spans", None),
    ):
        message = file.message_type.add(name=name)
        if shared:
            message.field.add(name=shared, number=1, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_REPEATED)
            message.field.add(name="schema_url", number=3, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
        field = message.field.add(name=repeated, number=2 if shared else 1, label=_FIELD.LABEL_REPEATED)
        field.type = _FIELD.TYPE_MESSAGE if kind else _FIELD.TYPE_BYTES
        if kind:
            field.type_name = f".{_PACKAGE}.{kind}"
    span = file.message_type.add(name="Span")
    trace_pb2.Span.DESCRIPTOR.CopyToProto(span)
    del span.nested_type[:], span.enum_type[:], span.reserved_range[:], span.reserved_name[:]
    entry = span.nested_type.add(name="AttributesEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    value = entry.field.add(name="value", number=2, type=_FIELD.TYPE_MESSAGE, label=_FIELD.LABEL_OPTIONAL)
    value.type_name = f".{common_pb2.AnyValue.DESCRIPTOR.full_name}"
    next(field for field in span.field if field.name == "attributes").type_name = f".{_PACKAGE}.Span.AttributesEntry"
    return file


_pool = descriptor_pool.Default()
_pool.AddSerializedFile(_file().SerializeToString())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_Export, _Span = _message("Export"), _message("Span")


def read_export(body: bytes) -> Any:
    """The export, with each span as bytes that were not looked into.

    Raises:
        google.protobuf.message.DecodeError: it is none.
    """
    return _Export.FromString(body)


read_span = cast(Callable[[bytes], WireSpan], _Span.FromString)
"""The span in these bytes. Not wrapped in a function, which would cost one more call per span.

Raises:
    google.protobuf.message.DecodeError: it is none.
"""


def shared_bytes(shared: Any, schema_url: str) -> bytes:
    """What all spans of a resource, or of a scope, share, as the bytes of its fields."""
    encoded = b"".join(_field(b"\x0a", part) for part in shared)
    return encoded + _field(b"\x1a", schema_url.encode()) if schema_url else encoded


def traces_data(span: bytes, resource: bytes, scope: bytes) -> bytes:
    """`TracesData` with one span, from the span's bytes and those of the fields that its resource and scope have."""
    span_bytes = len(span)
    span_length = _varint(span_bytes)
    scope_bytes = len(scope) + 1 + len(span_length) + span_bytes
    scope_length = _varint(scope_bytes)
    resource_length = _varint(len(resource) + 1 + len(scope_length) + scope_bytes)
    # The tags of length-delimited fields: the field's number times 8, plus 2.
    return b"".join((b"\x0a", resource_length, resource, b"\x12", scope_length, scope, b"\x12", span_length, span))


def _field(tag: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (tag, _varint(len(content)), content)


@lru_cache(maxsize=16_384)
def _varint(number: int) -> bytes:
    """Of a length. Nearly every one is below 16,384."""
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
