"""Goal: the tree has every prefix as a node, own and subtree figures that add up, a stable order, and any depth."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from query.paths import NODES_MAX, SUMS, TooManyPaths, build_tree

START = datetime(2026, 1, 7, tzinfo=UTC)


def row(path: str, *, at_seconds: float = 0, requests: int = 1, latency_us: int = 1000) -> dict[str, Any]:
    at = START + timedelta(seconds=at_seconds)
    return {
        **dict.fromkeys(SUMS, 0),
        "path": path,
        "request_count": requests,
        "latency_us_sum": requests * latency_us,
        "latency_us_min": latency_us if requests else None,
        "latency_us_max": latency_us if requests else None,
        "first_at": at,
        "last_end_at": at + timedelta(seconds=1),
    }


def test_every_prefix_is_a_node_with_its_subtree() -> None:
    nodes = build_tree([row("/a/b", latency_us=3000), row("/a/b/c", requests=2), row("/d", at_seconds=5)])
    assert [node.path for node in nodes] == ["/", "/a", "/a/b", "/a/b/c", "/d"]
    assert [node.own.sums["request_count"] for node in nodes] == [0, 0, 1, 2, 1]
    assert [node.subtree.sums["request_count"] for node in nodes] == [4, 3, 3, 2, 1]
    assert [node.subtree.extremes["latency_us_max"] for node in nodes] == [3000, 3000, 3000, 1000, 1000]
    assert nodes[0].subtree.extremes["last_end_at"] == START + timedelta(seconds=6)
    assert [(node.parent, node.depth, node.name) for node in nodes[:3]] == [
        (None, 0, "/"),
        ("/", 1, "a"),
        ("/a", 2, "b"),
    ]
    assert nodes[1].own.extremes["first_at"] is None


def test_children_come_by_first_occurrence_then_name() -> None:
    rows = [row("/late", at_seconds=9), row("/b/x", at_seconds=1), row("/a", at_seconds=1), row("/b", at_seconds=7)]
    assert [node.path for node in build_tree(rows)] == ["/", "/a", "/b", "/b/x", "/late"]
    assert build_tree(rows)[0].children[1].name == "b"


def test_events_at_the_root_belong_to_the_root() -> None:
    (root,) = build_tree([row("/")])
    assert (root.path, root.own.sums["request_count"], root.subtree.sums["request_count"]) == ("/", 1, 1)


def test_a_session_without_paths_has_no_nodes() -> None:
    assert build_tree([]) == []


def test_a_path_of_500_levels_is_a_list_of_501_nodes() -> None:
    nodes = build_tree([row("/x" * 500)])
    assert len(nodes) == 501
    assert nodes[0].subtree.sums["request_count"] == 1


def test_more_nodes_than_the_limit_are_refused_before_they_are_held() -> None:
    with pytest.raises(TooManyPaths):
        build_tree(row(f"/{number}") for number in range(NODES_MAX + 1))
