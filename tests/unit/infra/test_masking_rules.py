"""Goal: settings take only masking rules that can be run, and builtins find what they are named for."""

import json
from typing import Any

import pytest

from infra.masking_patterns import BUILTINS, compile_pattern
from infra.project_settings import InvalidSettings, parse_settings

FOUND = {
    "email": ["alice@example.com", "o'neil+x@mail.example.co.uk", "jürgen@müller.example"],
    "phone": ["+49 911 1234567", "+1 (415) 555-2671", "(415) 555-2671", "415-555-2671"],
    "ipv4": ["192.168.0.1", "255.255.255.255"],
    "credit_card": ["4111 1111 1111 1111", "4111111111111111", "5500-0000-0000-0004", "378282246310005"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"],
    "us_ssn": ["123-45-6789"],
    "aws_access_key": ["AKIAIOSFODNN7EXAMPLE"],
    "anthropic_key": ["sk-ant-api03-" + "aB3_" * 10],
    "openai_key": ["sk-proj-" + "aB3_" * 10],
    "pathline_key": ["sk-pathline-aaaaaaa-bbbbbbb-ccccccc-ddddddd", "pk-helicone-eu-aaaaaaa-bbbbbbb-ccccccc-ddddddd"],
    "github_token": ["ghp_" + "aB3d" * 9, "github_pat_" + "aB3d" * 6],
    "google_api_key": ["AIza" + "aB3d_" * 7],
    "slack_token": ["xoxb-123456789012-abcdef"],
    "stripe_key": ["sk_live_" + "aB3d" * 6],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r"],
    "bearer_token": ["Bearer abc.DEF-123456", "bearer: aaaaaaaaaaaa=="],
    "private_key": ["-----BEGIN RSA PRIVATE KEY-----\nMIIB+/=\n-----END RSA PRIVATE KEY-----"],
}
LEFT = {
    "email": ["alice at example.com", "@decorator", "a@b"],
    "phone": ["2026-11-24", "1795514400", "v1.2.3"],
    "ipv4": ["1.2.3", "256.300.1.1"],
    "credit_card": ["4111 1111 1111 1112", "1795514400000", "3b241101-e2bb-4255-8caf-4136c566a962"],
    "iban": ["DE00 3704 0044 0532 0130 00", "AB12 word word word"],
    "us_ssn": ["000-12-3456", "900-12-3456"],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9"],
    "openai_key": ["sk-learn", "task-force-of-the-century-in-one"],
}


def rules(*masking: Any) -> bytes:
    return json.dumps({"masking": masking}).encode()


def matches(name: str, text: str) -> list[str]:
    builtin = BUILTINS[name]
    found = [one.group() for one in compile_pattern(builtin.pattern).finditer(text.encode())]
    return [one[:size].decode() for one in found if (size := builtin.accepted_bytes(one))]


def test_each_builtin_has_examples() -> None:
    assert FOUND.keys() == BUILTINS.keys()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FOUND.items() for text in texts])
def test_a_builtin_finds_what_it_is_named_for(name: str, text: str) -> None:
    assert matches(name, f"before {text}, after") == [text]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in LEFT.items() for text in texts])
def test_a_builtin_leaves_what_only_looks_alike(name: str, text: str) -> None:
    assert matches(name, f"before {text}, after") == []


def test_a_private_key_that_is_cut_off_is_one() -> None:
    assert matches("private_key", "x -----BEGIN PRIVATE KEY-----\nMIIB+/") == ["-----BEGIN PRIVATE KEY-----\nMIIB+/"]


def test_words_behind_an_account_are_not_of_it() -> None:
    assert matches("iban", "to DE89 3704 0044 0532 0130 00 now please") == ["DE89 3704 0044 0532 0130 00"]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"pattern": "("}, "masking[1] has the invalid pattern '(': missing ): ("),
        ({"pattern": "(?<=a)b"}, "masking[1] has the invalid pattern '(?<=a)b': "),
        ({"pattern": r"(a)\1"}, r"masking[1] has the invalid pattern '(a)\1': invalid escape sequence: \1"),
        ({"pattern": "a*"}, "masking[1] has the invalid pattern 'a*': it matches the empty text"),
        ({"pattern": r"\C"}, r"masking[1] has the invalid pattern '\C': \C would match a part of a character"),
        ({"pattern": r"\pL{1000}"}, "masking[1] has the invalid pattern '\\pL{1000}': "),
        ({"pattern": r"(?:x{900}|y{900}|z{900}){1}w{990}v{990}"}, "it is too large"),
        ({"builtin": "passport"}, "masking[1] has no builtin 'passport': there are anthropic_key, aws_access_key,"),
        ({"builtin": "email", "key": "x"}, "masking[1] needs exactly one of `key`, `pattern`, `builtin`"),
        ({}, "masking[1] needs exactly one of `key`, `pattern`, `builtin`"),
    ],
)
def test_a_rule_that_cannot_be_run_is_refused_by_name(rule: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        parse_settings(rules({"key": "good"}, rule))
    assert text in str(refused.value)


def test_good_rules_are_taken() -> None:
    settings = parse_settings(rules({"key": "password"}, {"pattern": "(a+)+b"}, {"builtin": "email"}))
    assert [rule.pattern for rule in settings.masking] == [None, "(a+)+b", None]
