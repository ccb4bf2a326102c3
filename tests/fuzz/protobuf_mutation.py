"""Mutations of protobuf messages without a schema: a tree of fields is changed and written anew, its lengths right.

Some lengths lie on purpose. What cannot be read as fields is a leaf.
"""

import random
from dataclasses import dataclass

from tests.fuzz.mutation import WORDS, mutate_bytes

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
INTEGERS = [0, 1, 2, 7, 127, 255, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 1_795_514_400_000_000_000]
DEPTH_MAX = 30
"""Of what is read as a tree; deeper is a leaf. `_nest` goes deeper."""


@dataclass
class Field:
    """One field as it lies on the wire."""

    number: int
    wire_type: int
    value: "int | bytes | list[Field]"
    lie: int = 0
    """Added to the length that is written."""


def mutate_protobuf(encoded: bytes, other: bytes, chance: random.Random) -> bytes:
    """One mutated message; `other` is another, to take fields from."""
    tree, parts = read_fields(encoded), read_fields(other)
    if tree is None or parts is None:
        return mutate_bytes(encoded, other, chance)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        containers = _containers(tree)
        # The fields that lie deep are many and alike: each message has the same chance.
        container = chance.choice(containers)
        if container:
            _mutate_field(container, chance.randrange(len(container)), _containers(parts), chance)
    written = write_fields(tree)
    return written if chance.random() < 0.85 else mutate_bytes(written, other, chance)


def read_fields(encoded: bytes, depth: int = 0) -> list[Field] | None:
    """The fields of a message; None when it is none."""
    fields, at = list[Field](), 0
    while at < len(encoded):
        tag, at = _read_varint(encoded, at)
        number, wire_type = tag >> 3, tag & 7
        value: int | bytes | list[Field]
        if wire_type == VARINT:
            value, at = _read_varint(encoded, at)
        elif wire_type in (FIXED64, FIXED32, LENGTH):
            length, at = _read_varint(encoded, at) if wire_type == LENGTH else (8 if wire_type == FIXED64 else 4, at)
            value, at = encoded[at : at + length], at + length
        else:
            return None
        if at > len(encoded) or not number:
            return None
        if wire_type == LENGTH and isinstance(value, bytes) and value and depth < DEPTH_MAX:
            value = read_fields(value, depth + 1) or value
        fields.append(Field(number, wire_type, value))
    return fields


def write_fields(fields: list[Field]) -> bytes:
    """The message of these fields."""
    written = bytearray()
    for field in fields:
        written += _varint(field.number << 3 | field.wire_type)
        if isinstance(field.value, int):
            written += _varint(field.value)
            continue
        value = field.value if isinstance(field.value, bytes) else write_fields(field.value)
        if field.wire_type == LENGTH:
            written += _varint(max(0, len(value) + field.lie))
        written += value
    return bytes(written)


def _containers(fields: list[Field]) -> list[list[Field]]:
    found, waiting = [fields], [fields]
    while waiting:
        below = [field.value for field in waiting.pop() if isinstance(field.value, list)]
        found += below
        waiting += below
    return found


def _mutate_field(container: list[Field], place: int, parts: list[list[Field]], chance: random.Random) -> None:
    field, source = container[place], chance.choice(parts)
    what = chance.randrange(9)
    if what == 0:
        del container[place]
    elif what == 1:
        container.extend([field] * chance.choice((1, 1, 2, 20)))
    elif what == 2:
        field.number = chance.choice((*range(1, 17), 1000, 2**29 - 1))
    elif what == 3:
        field.lie = chance.choice((-2, -1, 1, 2, 200, 2**32, 2**63))
    elif what == 4:
        container[place] = _nested(field, chance)
    elif what in (5, 6) and source:
        # Trees must not share fields: a field that holds itself has no encoding.
        copied = read_fields(write_fields([chance.choice(source)]))
        if copied:
            container.insert(place, copied[0])
            if what == 6:
                copied[0].number = field.number
                del container[place + 1]
    else:
        _put_value(field, chance)


def _nested(field: Field, chance: random.Random) -> Field:
    """The field within messages of its kind: an array within arrays, as deep as no reader goes and deeper."""
    for _ in range(chance.choice((1, 5, 45, 120))):
        field = Field(chance.choice((1, 5, 6)), LENGTH, [field])
    return field


def _put_value(field: Field, chance: random.Random) -> None:
    if field.wire_type == VARINT:
        field.value = chance.choice(INTEGERS)
    elif field.wire_type == LENGTH:
        word = chance.choice((*WORDS, "", "x" * 1024)).encode("utf-8", "surrogatepass")
        field.value = chance.choice((word, word, chance.randbytes(chance.choice((7, 8, 16, 17))), b"\0" * 8))
    else:
        length = 8 if field.wire_type == FIXED64 else 4
        field.value = chance.choice((chance.randbytes(length), chance.choice(INTEGERS).to_bytes(8, "little")[:length]))


def _read_varint(encoded: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(encoded) and shift < 70:
        byte = encoded[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value & (2**64 - 1), at
    return 0, len(encoded) + 1


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)
