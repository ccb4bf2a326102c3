"""A span's attributes while its tables are applied: who reads one marks it used, and what is left goes to the body."""

import re
from typing import Any

from ingest.decode.spans.values import named_text

_INDEX_DIGITS_MAX = 9
_has_number = re.compile(r"\.[0-9]").search


class Attributes:
    """Attributes under a prefix; `used` holds whole keys and is shared by all views of one span."""

    __slots__ = ("_groups", "prefix", "used", "values")

    def __init__(self, values: dict[str, Any], used: set[str] | None = None, prefix: str = "") -> None:
        self.values = values
        self.used: set[str] = set() if used is None else used
        self.prefix = prefix
        self._groups: tuple[str, ...] | None = None

    def peek(self, name: str) -> Any:
        """A value; None when it is missing or empty."""
        value = self.values.get(name)
        return None if value == "" else value

    def take(self, *names: str) -> Any:
        """The first value among these that is not empty; it counts as used."""
        values = self.values
        for name in names:
            if name in values:
                value = values[name]
                if value is not None and value != "":
                    self.used.add(self.prefix + name)
                    return value
        return None

    def text(self, *names: str) -> str | None:
        """The first text among these that is not empty, other values as JSON; it counts as used."""
        values = self.values
        for name in names:
            if name in values and (text := named_text(name, values[name])):
                self.used.add(self.prefix + name)
                return text
        return None

    def indexed(self, prefix: str) -> list["Attributes"]:
        """The groups `<prefix>.<number>.…`, ordered by number; what has gaps is closed up."""
        if self._groups is None:
            # One search for all: most spans have none.
            has_any = _has_number("\n".join(self.values))
            self._groups = tuple(key for key in self.values if _has_number(key)) if has_any else ()
        if not self._groups:
            return []
        groups: dict[int, Attributes] = {}
        dotted = prefix + "."
        for key in self._groups:
            if not key.startswith(dotted):
                continue
            digits, dot, rest = key[len(dotted) :].partition(".")
            if not dot or not (digits.isascii() and digits.isdecimal() and len(digits) <= _INDEX_DIGITS_MAX):
                continue
            number = int(digits)
            group = groups.get(number)
            if group is None:
                group = groups[number] = Attributes({}, self.used, f"{self.prefix}{dotted}{digits}.")
            if group.prefix == f"{self.prefix}{dotted}{digits}.":
                # `007.role` beside `7.role` is another key; it stays unused.
                group.values[rest] = self.values[key]
        return [groups[number] for number in sorted(groups)]
