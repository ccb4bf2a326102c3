"""What a project's masking rules make of texts, keys and JSON (docs/masking.md). Pure, and the same each time.

JSON is not re-encoded: what no rule matches stays as it was received, byte for byte.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
import re2

from infra.masking_patterns import BUILTINS, InvalidPattern, compile_pattern, looks_at_ends
from infra.project_settings import Mapping, MaskingRule
from infra.projects import Credential

MASKED = "[masked]"
JSON_IN_TEXT_DEPTH_MAX = 6
"""How often JSON may stand inside a string of JSON and still be read: each level is read once more."""
MATCHES_MAX = 2_000
"""Of one rule in one text; behind them the text is masked to its end. A pattern that looks far ahead at each match
would otherwise take the square of the text's length."""
_ANY_RULE_MEMORY_BYTES = 16 << 20

_MASKED_BYTES = MASKED.encode()
_MASKED_LITERAL = b'"' + _MASKED_BYTES + b'"'
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING_OR_KEY = re.compile(rb"(?P<literal>" + _STRING + rb")(?P<colon>\s*:\s*)?", re.DOTALL)
_STRING_OR_BRACKET = re.compile(_STRING + rb"|[][{}]", re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\]}]*")
_OPENING_QUOTE = re.compile(rb'(\\*)"')
_OTHER_ESCAPE = re.compile(rb'\\[^nrt"]')
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)


class _Rule(NamedTuple):
    pattern: Any
    accepted_bytes: Callable[[bytes], int]
    replacement: bytes


def masker_of(sender: Credential) -> "Masker | None":
    """The sender's rules, compiled once; None for a project without any."""
    settings = sender.settings
    return _masker(settings.masking, settings.mappings) if settings.masking else None


@lru_cache(maxsize=256)
def _masker(rules: tuple[MaskingRule, ...], mappings: tuple[Mapping, ...]) -> "Masker":
    return Masker(rules, frozenset(one.attribute for one in mappings if one.field == "session_id"))


class Masker:
    """The rules of one version of a project's settings. Methods give what they were given when nothing matches."""

    def __init__(self, rules: tuple[MaskingRule, ...], session_attributes: frozenset[str] = frozenset()) -> None:
        self.session_attributes = session_attributes
        """Names of OpenTelemetry attributes from which the project's mappings read a session's id."""
        self._keys = frozenset(rule.key.lower() for rule in rules if rule.key is not None)
        self._rules = [*_rules(rules)]
        names = "|".join(re2.escape(key) for key in sorted(self._keys))
        self._bare_key = compile_pattern(f"(?i)(?:{names})") if names else None
        self._quoted_key = compile_pattern(rf'(?i)\\*"(?:{names})\\*"\s*:\s*') if names else None
        self._any_rule = self._compiled_together(rules, names)

    def hides(self, *names: str) -> bool:
        """Whether a rule takes every value under one of these names."""
        return any(name.lower() in self._keys for name in names)

    def text(self, text: str) -> str:
        """A text without what the patterns match in it, also inside of JSON that it holds; keys count in that too."""
        content = text.encode("utf-8", "surrogatepass")
        masked = self._masked(content, 0)
        return text if masked is content else masked.decode("utf-8", "surrogatepass")

    def field(self, text: str, *names: str) -> str:
        """A text that stands under these names."""
        return MASKED if self.hides(*names) else self.text(text)

    def identifier(self, text: str, *names: str) -> str:
        """A text that tells things apart, such as a session id: what is masked becomes a hash of itself.

        Equal ids stay equal and different ones different, so that no two sessions become one.
        """
        content = text.encode("utf-8", "surrogatepass")
        if self.hides(*names):
            return _pseudonym(content).decode()
        masked = _spliced(content, self._spans(content), lambda start, end, _: _pseudonym(content[start:end]))
        return text if masked is content else masked.decode("utf-8", "surrogatepass")

    def json(self, text: msgspec.Raw, *names: str) -> msgspec.Raw:
        """A JSON text, which stands under these names, without what the rules take in it.

        That is values under keys, and matches in strings, keys among them. Numbers are taken by their keys alone.
        """
        content = bytes(text)
        if not content:
            return text
        if self.hides(*names):
            return msgspec.Raw(_MASKED_LITERAL)
        if self.is_clean(content):
            return text
        masked = self._walked(content, 0)
        return text if masked is content else msgspec.Raw(masked)

    def _compiled_together(self, rules: tuple[MaskingRule, ...], names: str) -> Any | None:
        """All rules in one pattern: where it matches nowhere in a whole JSON text, no rule does in its strings.

        None when that cannot be said: a rule looks at the ends of its text, a key has letters whose two cases are
        not one to one, or together they are too large.
        """
        patterns = [_pattern(rule) for rule in rules if rule.key is None]
        if any(looks_at_ends(pattern) for pattern in patterns) or not names.isascii():
            return None
        if names:
            patterns.append(rf'(?i:"(?:{names})"\s*:)')
        try:
            return compile_pattern("|".join(f"(?:{one})" for one in patterns), memory_bytes=_ANY_RULE_MEMORY_BYTES)
        except InvalidPattern:
            return None

    def is_clean(self, text: bytes) -> bool:
        """Whether JSON text is seen at a glance to hold nothing to mask. False also in doubt."""
        if self._any_rule is None:
            return False
        if b"\\" in text:
            if _OTHER_ESCAPE.search(text):
                return False
            # Now each string, also one inside of JSON inside of a string, stands there as what it spells.
            text = text.replace(rb"\n", b"\n").replace(rb"\"", b'"').replace(rb"\t", b"\t").replace(rb"\r", b"\r")
        return self._any_rule.search(text) is None

    def _walked(self, text: bytes, depth: int) -> bytes:
        """Good JSON text with every string of it masked, and every value under a key that a rule names."""
        pieces: list[bytes] = []
        done = position = 0
        glance = _Glance(self._any_rule, text)
        while found := _STRING_OR_KEY.search(text, position):
            start, end = found.span("literal")
            position = found.end()
            if glance.is_clean(start, end):
                continue
            content = _spelled(found["literal"])
            is_key = found["colon"] is not None
            masked = self._matches_masked(content) if is_key else self._masked(content, depth)
            if masked is not content:
                pieces += text[done:start], _literal(masked)
                done = end
            if is_key and self.hides(content.decode("utf-8", "surrogatepass")):
                pieces += text[done:position], _MASKED_LITERAL
                done = position = _value_end(text, position)
        return b"".join([*pieces, text[done:]]) if pieces else text

    def _masked(self, content: bytes, depth: int) -> bytes:
        """A string's content masked, JSON inside of it first."""
        if b"\\" not in content and b'"' not in content:
            return self._matches_masked(content)
        if not _is_json(content):
            return self._matches_masked(self._without_keys(content))
        if depth < JSON_IN_TEXT_DEPTH_MAX:
            return self._walked(content, depth + 1)
        if b"\\" in content or (self._bare_key is not None and self._bare_key.search(content)):
            return _MASKED_BYTES
        return self._matches_masked(content)

    def _without_keys(self, content: bytes) -> bytes:
        """The values behind quoted keys in what is no JSON as a whole: lines of a stream, a block in prose."""
        if self._quoted_key is None:
            return content
        pieces: list[bytes] = []
        done = 0
        while found := self._quoted_key.search(content, done):
            pieces += content[done : found.end()], _MASKED_LITERAL
            done = _value_end(content, found.end())
        return b"".join([*pieces, content[done:]]) if pieces else content

    def _matches_masked(self, content: bytes) -> bytes:
        # What reads texts later leaves U+0000 out: it must not hide a match until then.
        seen = content.replace(b"\0", b"")
        if self._any_rule is not None and self._any_rule.search(seen) is None:
            return content
        masked = _spliced(seen, self._spans(seen), lambda _start, _end, replacement: replacement)
        return content if masked is seen else masked

    def _spans(self, content: bytes) -> list[tuple[int, int, bytes]]:
        """Where the rules match, in order and apart: (start, end, replacement). Every rule sees the whole text."""
        spans = sorted((span for rule in self._rules for span in _matches(rule, content)), key=lambda span: span[:2])
        apart: list[tuple[int, int, bytes]] = []
        for start, end, replacement in spans:
            if apart and start < apart[-1][1]:
                first_start, first_end, first = apart[-1]
                apart[-1] = (first_start, max(end, first_end), first)
            else:
                apart.append((start, end, replacement))
        return apart


class _Glance:
    """Tells of the strings in a JSON text, in order, which ones need a closer look; one search passes many of them."""

    def __init__(self, any_rule: Any | None, text: bytes) -> None:
        self._any_rule = any_rule
        self._text = text
        self._next_match = -1
        self._searches_left = MATCHES_MAX

    def is_clean(self, start: int, end: int) -> bool:
        """Whether no rule matches in the literal from `start` to `end`. False also in doubt."""
        if self._any_rule is None or self._text.find(b"\\", start, end) >= 0:
            return False
        if self._next_match < start:
            if not self._searches_left:
                return False
            self._searches_left -= 1
            found = self._any_rule.search(self._text, start)
            self._next_match = len(self._text) if found is None else found.start()
        return self._next_match >= end


def _pattern(rule: MaskingRule) -> str:
    return rule.pattern if rule.pattern is not None else BUILTINS[str(rule.builtin)].pattern


def _rules(rules: tuple[MaskingRule, ...]) -> Iterator[_Rule]:
    for rule in rules:
        if rule.pattern is not None:
            yield _Rule(compile_pattern(rule.pattern), len, _MASKED_BYTES)
        elif rule.builtin is not None:
            builtin = BUILTINS[rule.builtin]
            yield _Rule(compile_pattern(builtin.pattern), builtin.accepted_bytes, f"[masked:{rule.builtin}]".encode())


def _matches(rule: _Rule, content: bytes) -> Iterator[tuple[int, int, bytes]]:
    position, count = 0, 0
    while found := rule.pattern.search(content, position):
        start, end = found.span()
        count += 1
        if count > MATCHES_MAX:
            yield start, len(content), rule.replacement
            return
        size = rule.accepted_bytes(content[start:end])
        if size:
            yield start, start + size, rule.replacement
        # A refused match may hide one that begins inside of it.
        position = start + (size or 1)


def _spliced(
    content: bytes, spans: list[tuple[int, int, bytes]], replaced: Callable[[int, int, bytes], bytes]
) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for start, end, replacement in spans:
        pieces += content[done:start], replaced(start, end, replacement)
        done = end
    return b"".join([*pieces, content[done:]]) if pieces else content


def _pseudonym(content: bytes) -> bytes:
    return f"[masked:{blake2b(content, digest_size=8).hexdigest()}]".encode()


def _is_json(content: bytes) -> bool:
    if content.lstrip()[:1] not in (b"{", b"[", b'"'):
        return False
    try:
        _raw_decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _spelled(literal: bytes) -> bytes:
    """What a string literal spells, in UTF-8."""
    if b"\\" not in literal:
        return literal[1:-1]
    text: str = json.loads(literal.decode("utf-8", "surrogatepass"), strict=False)
    return text.encode("utf-8", "surrogatepass")


def _literal(content: bytes) -> bytes:
    try:
        return msgspec.json.encode(content.decode())
    except UnicodeDecodeError:  # Half of a surrogate pair, from JSON inside of a string.
        return json.dumps(content.decode("utf-8", "surrogatepass")).encode()


def _value_end(text: bytes, start: int) -> int:
    """Where the JSON value that begins at `start` ends; of a value cut off, the end of the text."""
    if quote := _OPENING_QUOTE.match(text, start):
        closing = re.compile(rb'(?<!\\)(?:\\\\)*"' if not quote[1] else rb'(?<!\\)\\{%d}"' % len(quote[1]))
        found = closing.search(text, quote.end())
        return found.end() if found else len(text)
    if text[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(text, start)
        return scalar.end() if scalar else start
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text, start):
        if found[0] in (b"{", b"["):
            depth += 1
        elif found[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return found.end()
    return len(text)
