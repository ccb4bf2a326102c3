"""What masking rules can look for: our named patterns, and the users' own, checked before they may ever run. Pure.

All run on RE2, whose time grows with the text and never with the luck of a pattern: nobody's pattern hangs ingest.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import re2

PATTERN_MEMORY_BYTES_MAX = 1 << 20
"""Of one compiled pattern. Beyond it the pattern is refused, or matched without the automaton's cache."""
PROGRAM_SIZE_MAX = 4_000
"""Instructions of one compiled pattern: without the cache each costs a few nanoseconds per byte of text."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class InvalidPattern(ValueError):
    """A pattern that cannot be a masking rule; the text says why."""


class Builtin(NamedTuple):
    """A named pattern, and what decides whether a match is one: it gives how many bytes of it are, 0 for none."""

    pattern: str
    accepted_bytes: Callable[[bytes], int] = len


def compile_pattern(pattern: str, *, memory_bytes: int = PATTERN_MEMORY_BYTES_MAX) -> Any:
    """The pattern in RE2's syntax, to be matched against UTF-8; without groups.

    Raises:
        InvalidPattern: not RE2's syntax, too large, or it matches where there is no text.
    """
    if "C" in _ESCAPED.findall(pattern):
        raise InvalidPattern(r"\C would match a part of a character")
    options = re2.Options()
    options.max_mem = memory_bytes
    options.log_errors = False
    options.never_capture = True
    try:
        compiled = re2.compile(pattern.encode(), options)
    except re2.error as fault:
        reason = fault.args[0].decode(errors="replace") if isinstance(fault.args[0], bytes) else str(fault)
        raise InvalidPattern(reason) from fault
    except UnicodeEncodeError as fault:
        raise InvalidPattern("it has half of a surrogate pair") from fault
    if compiled.search(b"") is not None:
        raise InvalidPattern("it matches the empty text")
    return compiled


def check_pattern(pattern: str) -> None:
    """Refuse a user's pattern that could not be run safely; raises like `compile_pattern`."""
    size = compile_pattern(pattern).programsize
    if size > PROGRAM_SIZE_MAX:
        raise InvalidPattern(f"it is too large: {size} instructions, at most {PROGRAM_SIZE_MAX}")


def looks_at_ends(pattern: str) -> bool:
    """Whether a match may depend on where the text begins or ends, so that it must see each text on its own.

    True also in doubt.
    """
    escapes = _ESCAPED.findall(pattern)
    rest = _ESCAPED.sub("", pattern).replace("[^", "")
    return "^" in rest or "$" in rest or any(letter in "AzQ" for letter in escapes)


def _luhn_bytes(found: bytes) -> int:
    """A card's number has a check digit; a number in five groups may be a card's of four and something else."""
    return next((size for size in (len(found), 19) if size <= len(found) and _luhn(found[:size])), 0)


def _luhn(found: bytes) -> bool:
    digits = [digit - 48 for digit in found if digit > 47]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[::-2]) + doubled) % 10 == 0 and any(digits)


def _iban_bytes(found: bytes) -> int:
    """An account's number has two check digits; the words behind it may look like groups of it."""
    while len(found) >= 15:
        spelled = found.replace(b" ", b"").upper().decode()
        if int("".join(str(int(letter, 36)) for letter in spelled[4:] + spelled[:4])) % 97 == 1:
            return len(found)
        found = found.rpartition(b" ")[0]
    return 0


def _ssn_bytes(found: bytes) -> int:
    """Numbers that are given to nobody are not secrets."""
    area = found[:3]
    given = area not in (b"000", b"666") and area < b"900" and found[4:6] != b"00" and found[-4:] != b"0000"
    return len(found) if given else 0


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
BUILTINS = {
    "email": Builtin(r"[\p{L}\p{N}._%+'-]+@(?:[\p{L}\p{N}-]+\.)+\p{L}{2,}"),
    "phone": Builtin(
        r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}\b"
        r"|\(\d{3}\) ?\d{3}[ .-]\d{4}\b|\b\d{3}[.-]\d{3}[.-]\d{4}\b"
    ),
    "ipv4": Builtin(rf"\b(?:{_OCTET}\.){{3}}{_OCTET}\b"),
    # Cards begin with 2 to 6, Unix times in milliseconds or finer with 1.
    "credit_card": Builtin(
        r"\b[2-6](?:\d{3}[ -]\d{4}[ -]\d{4}[ -]\d{4}(?:[ -]\d{3})?|\d{3}[ -]\d{6}[ -]\d{4,5}|\d{12,18})\b", _luhn_bytes
    ),
    "iban": Builtin(r"(?i)\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b", _iban_bytes),
    "us_ssn": Builtin(r"\b\d{3}[ -]\d{2}[ -]\d{4}\b", _ssn_bytes),
    "aws_access_key": Builtin(r"\b(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}\b"),
    "anthropic_key": Builtin(r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    "openai_key": Builtin(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "pathline_key": Builtin(r"\b[sp]k-(?:pathline|helicone)(?:-eu)?(?:-rl)?(?:-cp)?(?:-\w{7}){4}"),
    "github_token": Builtin(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    "google_api_key": Builtin(r"\bAIza[A-Za-z0-9_-]{35}"),
    "slack_token": Builtin(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "stripe_key": Builtin(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    "jwt": Builtin(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    "bearer_token": Builtin(r"(?i)\bbearer[ :]+[a-z0-9._~+/-]{8,}=*"),
    # Cut off before its end, a key is still one.
    "private_key": Builtin(
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
        r"(?:[A-Za-z0-9+/=\s\\:,.-]*?-----END [A-Z0-9 ]*PRIVATE KEY-----|[A-Za-z0-9+/=\s\\:,.-]*)"
    ),
}
"""Name of a builtin to what it looks for."""
