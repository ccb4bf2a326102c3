"""Goal: a filter is refused with the right text or becomes SQL in which every value is a parameter."""

from decimal import Decimal
from typing import Any

import pytest

from query.conditions import Parameters
from query.errors import InvalidQuestion
from query.filters import compile_for_requests, compile_for_sessions, parse


def sql_of(tree: Any) -> tuple[str, list[object]]:
    parameters = Parameters("own")
    return compile_for_requests(parse(tree, of_sessions=False), parameters), parameters.values[1:]


@pytest.mark.parametrize(
    "tree",
    ["all", {}, {"left": "all", "operator": "and", "right": {}}, {"left": "all", "operator": "or", "right": "all"}],
)
def test_everything_matches_without_conditions(tree: Any) -> None:
    split = compile_for_sessions(parse(tree, of_sessions=True), Parameters())
    assert (split.matching, split.request_leaves, split.listed) == ("true", (), "true")
    assert not split.asks_requests


RMT = "request_response_rmt"


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (5, "Invalid filter: a node is 'all' or an object"),
        ("some", "Invalid filter: a node is 'all' or an object"),
        ({"left": "all", "operator": "xor", "right": "all"}, "Invalid filter: only OR is supported"),
        ({"left": "all", "operator": "or"}, "Invalid filter: a branch has left, operator and right"),
        ({"nowhere": {"a": {"equals": "b"}}}, "Unknown filter table: nowhere"),
        ({"values": {"a": {"equals": "b"}}}, "Unknown filter table: values"),
        ({RMT: {"search_properties": {}}}, f"Unknown filter column: {RMT}.search_properties"),
        ({RMT: {"model": {}}}, f"Unknown filter operator: {RMT}.model."),
        ({RMT: {}}, f"Unknown filter column: {RMT}."),
        ({RMT: {"model": {"near": "x"}}}, f"Unknown filter operator: {RMT}.model.near"),
        ({RMT: {"model": {"gt": "x"}}}, f"Invalid filter value for {RMT}.model"),
        ({RMT: {"model": {"equals": 5}}}, f"Invalid filter value for {RMT}.model"),
        ({RMT: {"model": {"equals": "\0"}}}, f"Invalid filter value for {RMT}.model"),
        ({RMT: {"model": {"like": "a\\"}}}, f"Invalid filter value for {RMT}.model"),
        ({RMT: {"status": {"equals": "NaN"}}}, f"Invalid filter value for {RMT}.status"),
        ({RMT: {"status": {"equals": True}}}, f"Invalid filter value for {RMT}.status"),
        ({RMT: {"cached": {"equals": 1}}}, f"Invalid filter value for {RMT}.cached"),
        ({"request": {"created_at": {"gte": "yesterday"}}}, "Invalid filter value for request.created_at"),
        ({"request": {"created_at": {"gte": "0001-01-01T00:00+09:00"}}}, "Invalid filter value for request.created_at"),
        ({"request": {"created_at": {"not-equals": "2026-01-01"}}}, "Invalid filter value for request.created_at"),
        ({RMT: {"scores": {"a": {"equals": "1"}}}}, f"Filter not supported yet: {RMT}.scores"),
        (
            {"sessions_request_response_rmt": {"session_total_cost": {"gt": 1}}},
            "Filter not supported yet: sessions_request_response_rmt.session_total_cost",
        ),
    ],
)
def test_what_is_wrong_is_named(tree: Any, text: str) -> None:
    with pytest.raises(InvalidQuestion) as caught:
        parse(tree, of_sessions=False)
    assert caught.value.text == text


def test_nesting_beyond_50_levels_is_refused() -> None:
    tree: Any = "all"
    for _ in range(50):
        tree = {"left": tree, "operator": "and", "right": "all"}
    parse(tree, of_sessions=True)
    with pytest.raises(InvalidQuestion, match="Filter too complex"):
        parse({"left": tree, "operator": "and", "right": "all"}, of_sessions=True)


def test_more_than_200_conditions_are_refused() -> None:
    names = {f"name{number}": {"equals": "x"} for number in range(200)}
    parse({"properties": names}, of_sessions=True)
    with pytest.raises(InvalidQuestion, match="Filter too complex"):
        parse({"properties": {**names, "one more": {"equals": "x"}}}, of_sessions=True)


def test_p_r_8_everything_in_a_leaf_is_anded() -> None:
    text, values = sql_of({"request_response_rmt": {"status": {"gte": 400, "lt": "500"}, "model": {"equals": "m"}}})
    assert text == "((r.status >= $2::numeric) AND (r.status < $3::numeric) AND (r.model = $4::text))"
    assert values == [Decimal(400), Decimal(500), "m"]


def test_values_and_names_of_callers_never_enter_the_text() -> None:
    hostile = "x'; DROP TABLE requests; --$1{name}"
    text, values = sql_of(
        {"request_response_rmt": {"model": {"contains": hostile}, "properties": {hostile: {"equals": hostile}}}}
    )
    assert "DROP" not in text
    assert values == [hostile, hostile, hostile]


def test_cost_is_compared_in_nano_usd_rounded_half_to_even() -> None:
    for usd, nanousd in ((0.0003, 300_000), ("0.0000000005", 0), ("0.0000000015", 2), (1, 10**9)):
        _, values = sql_of({"request_response_rmt": {"cost": {"equals": usd}}})
        assert values == [nanousd]


def test_p_r_7_an_instant_finer_than_microseconds_keeps_its_order() -> None:
    texts = [
        sql_of({"request": {"created_at": {operator: "2026-01-01T00:00:00.000000500Z"}}})[0]
        for operator in ("gte", "gt", "lte", "lt", "equals")
    ]
    assert [text.split()[1] if " " in text else text for text in texts] == [">", ">", "<=", "<=", "false"]


def test_a_session_filter_is_split_at_the_top_level_and() -> None:
    tree = {
        "left": {"request_response_rmt": {"status": {"equals": 500}}},
        "operator": "and",
        "right": {
            "left": {"sessions_request_response_rmt": {"session_total_requests": {"gt": 1}}},
            "operator": "or",
            "right": {"request_response_rmt": {"model": {"equals": "m"}, "user_id": {"equals": "u"}}},
        },
    }
    split = compile_for_sessions(parse(tree, of_sessions=True), Parameters())
    assert split.matching == "(r.status = $1::numeric)"
    assert split.request_leaves == ("((r.model = $3::text) AND (r.user_id = $4::text))",)
    assert split.listed == "((f.request_count > $2::numeric) OR f.holds[1])"


def test_the_sessions_properties_mean_the_session_on_session_endpoints() -> None:
    leaf = {"properties": {"helicone-SESSION-name": {"equals": "Trip"}}}
    split = compile_for_sessions(parse(leaf, of_sessions=True), Parameters())
    assert (split.matching, split.listed) == ("true", "(coalesce(f.name, '') = $1::text)")
    assert sql_of(leaf)[0] == "(coalesce(r.session_name, '') = $2::text)"


def test_a_session_id_is_looked_up_by_its_hash() -> None:
    text, _ = sql_of({"properties": {"Helicone-Session-Id": {"equals": "one"}}})
    assert text == "(r.session_key = $3::uuid AND r.session_id = $2::text)"
