"""Goal: what a rule names is gone from JSON and texts, wherever it stands, and nothing else changes."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.project_settings import MaskingRule
from ingest.masking import Masker

MARKER = "MARKER-5f3a"
MASKER = Masker(
    (
        MaskingRule(key="Password"),
        MaskingRule(key="api_key"),
        MaskingRule(builtin="email"),
        MaskingRule(builtin="credit_card"),
        MaskingRule(pattern="MARKER-[0-9a-f]+"),
    )
)
ANCHORED = Masker((MaskingRule(pattern="^MARKER-[0-9a-f]+$"), MaskingRule(key="password")))
"""Its pattern sees the ends of a text, so that no glance at a whole JSON text can tell."""


def masked(text: str | bytes, masker: Masker = MASKER) -> str:
    content = text if isinstance(text, bytes) else text.encode()
    return bytes(masker.json(msgspec.Raw(content))).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a":"to MARKER-5f3a, now"}', '{"a":"to [masked], now"}'),
        ('{"a":"x@y.example 4111 1111 1111 1111"}', '{"a":"[masked:email] [masked:credit_card]"}'),
        ('{"a":"\\u004dARKER-5f3a \\n"}', '{"a":"[masked] \\n"}'),
        ('{"a":"MAR\\u0000KER-5f3a"}', '{"a":"[masked]"}'),
        ('"MARKER-5f3a"', '"[masked]"'),
        ('{"MARKER-5f3a":1}', '{"[masked]":1}'),
        ('{"passWORD" : {"x":["}",1]} , "b":1.50}', '{"passWORD" : "[masked]" , "b":1.50}'),
        ('[{"password":[1,[2]]},{"api_key":-1e5}]', '[{"password":"[masked]"},{"api_key":"[masked]"}]'),
        ('{"p\\u0061ssword":true,"password":null}', '{"p\\u0061ssword":"[masked]","password":"[masked]"}'),
        ('{"password":"a\\"b\\\\","x":"c"}', '{"password":"[masked]","x":"c"}'),
        ('{"password":"MARKER-5f3a"}', '{"password":"[masked]"}'),
    ],
)
def test_json_loses_what_the_rules_name(before: str, after: str) -> None:
    assert masked(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"password": 1, "n": 1.0}, {"password": "[masked]", "n": 1.0}),
        ([{"Password": {"a": "b"}}], [{"Password": "[masked]"}]),
        ({"x": json.dumps({"password": 1, "y": json.dumps(["\u0041\nMARKER-5f3a"])})}, None),
    ],
)
def test_json_inside_of_a_string_is_read(before: Any, after: Any) -> None:
    text = json.loads(masked(json.dumps({"arguments": json.dumps(before)})))["arguments"]
    if after is None:
        assert json.loads(json.loads(text)["x"]) == {"password": "[masked]", "y": '["A\\n[masked]"]'}
    else:
        assert json.loads(text) == after


def test_json_deeper_than_is_read_is_masked_whole() -> None:
    text = json.dumps({"password": "hidden"})
    for _ in range(8):
        text = json.dumps({"a": text})
    assert "hidden" not in masked(text)
    assert "[masked]" in masked(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('data: {"password": "x", "b": 1}\n\ndata: [DONE]', 'data: {"password": "[masked]", "b": 1}\n\ndata: [DONE]'),
        ('call {"api_key": 12} "and "so on', 'call {"api_key": "[masked]"} "and "so on'),
        ('{"password": "cut o', '{"password": "[masked]"'),
        ('curl -d "{\\"password\\": \\"x y\\", \\"b\\": 1}"', 'curl -d "{\\"password\\": "[masked]", \\"b\\": 1}"'),
    ],
)
def test_keys_count_in_texts_that_are_no_json_as_a_whole(before: str, after: str) -> None:
    assert MASKER.text(before) == after


def test_a_pattern_that_looks_at_the_ends_sees_each_string_alone() -> None:
    assert masked('{"a":"MARKER-1","b":"x MARKER-1","password":2}', ANCHORED) == (
        '{"a":"[masked]","b":"x MARKER-1","password":"[masked]"}'
    )


def test_matches_that_overlap_are_masked_together() -> None:
    masker = Masker((MaskingRule(pattern="abcd"), MaskingRule(pattern="cdef")))
    assert masker.text("-abcdef-") == "-[masked]-"


def test_a_card_behind_other_digits_is_found() -> None:
    assert MASKER.text("1234 4111 1111 1111 1111") == "1234 [masked:credit_card]"


def test_ids_stay_different_and_equal() -> None:
    one, other = MASKER.identifier("s a@b.example", "session_id"), MASKER.identifier("s c@b.example", "session_id")
    assert one != other
    assert one == MASKER.identifier("s a@b.example", "session_id")
    assert one.startswith("s [masked:")
    assert "example" not in one + other
    assert MASKER.identifier("plain", "session_id") == "plain"
    assert MASKER.identifier("plain", "password") == MASKER.identifier("plain", "api_key") != "plain"


def test_masking_twice_changes_nothing_more() -> None:
    once = masked('{"a":"x@y.example MARKER-5f3a","password":{"b":1}}')
    assert masked(once) == once


def test_no_pattern_takes_more_than_linear_time() -> None:
    # The first would hang a backtracking matcher; the second looks to the end of the text at each match.
    masker = Masker((MaskingRule(pattern="(x+x+)+y"), MaskingRule(pattern="a.*b|a")))
    started = time.process_time()
    assert masker.text("x" * 200_000) == "x" * 200_000
    assert masker.text("a" * 200_000) == "[masked]" * 2_001
    assert time.process_time() - started < 10


def without(value: Any) -> Any:
    """What masking promises, said over values instead of text."""
    if isinstance(value, dict):
        return {
            key.replace(MARKER, "[masked]"): "[masked]" if key.lower() in ("password", "api_key") else without(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [without(one) for one in value]
    return value.replace(MARKER, "[masked]") if isinstance(value, str) else value


plain_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="@\0"), max_size=12).filter(
    lambda text: not any(letter in text for letter in '{["\\')
)
texts = plain_texts | st.builds(lambda before, after: f"{before} {MARKER} {after}", plain_texts, plain_texts)
keys = texts | st.sampled_from(["password", "API_KEY", "passwords"])
# Of numbers only those that are too short for a card's: within a text one is masked as any text is.
numbers = st.integers(-(10**11), 10**11) | st.floats(allow_nan=False, allow_infinity=False, width=16)
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@given(value=values, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
@example(value={"password": {"a": ["x"]}, "b": [1, MARKER]}, ascii_only=True, indent=1)
def test_the_secret_is_gone_at_any_depth_and_the_rest_is_as_it_was(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    after = masked(text)
    assert MARKER not in after
    assert json.loads(after) == without(value)
    if without(value) == value:
        assert after == text


@given(value=values, levels=st.integers(1, 4))
def test_the_secret_is_gone_from_json_in_json(value: Any, levels: int) -> None:
    text = json.dumps([value])
    for _ in range(levels):
        text = json.dumps([text])
    after = masked(text)
    assert MARKER not in after
    for _ in range(levels):
        after = json.loads(after)[0]
    assert json.loads(after) == [without(value)]
