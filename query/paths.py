"""The tree of a session's paths, built from the paths that have events of their own. `build_tree` is pure.

Every prefix of a path is a node. The tree is a list in the order of a walk from the root (a parent, then each child
with all below it), each node with its parent's path and its depth: paths may be hundreds of levels deep, and neither
building nor writing nor reading a list recurses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from query.statements import statement

if TYPE_CHECKING:
    from query.store import Snapshot

NODES_MAX = 10_000
"""Most nodes of one tree. A session with more has ids in its paths; its tree would help nobody."""

SUMS = (
    "request_count",
    "error_count",
    "latency_us_sum",
    "span_count",
    "span_latency_us_sum",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
    "cost_nanousd",
)
SMALLEST = ("latency_us_min", "first_at")
GREATEST = ("latency_us_max", "last_end_at")


@dataclass
class Figures:
    """Figures of a set of events; the extremes are None while it is empty."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    extremes: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(SMALLEST + GREATEST))

    def add(self, sums: Mapping[str, int], extremes: Mapping[str, Any]) -> None:
        """Take in the figures of other events."""
        for name in SUMS:
            self.sums[name] += sums[name]
        for names, pick in ((SMALLEST, min), (GREATEST, max)):
            for name in names:
                known = [value for value in (self.extremes[name], extremes[name]) if value is not None]
                self.extremes[name] = pick(known) if known else None


@dataclass
class PathNode:
    """One path: the figures of its own events, and of those together with everything below it."""

    path: str
    depth: int
    """0 for the root."""
    own: Figures = field(default_factory=Figures)
    subtree: Figures = field(default_factory=Figures)
    children: list["PathNode"] = field(default_factory=list)

    @property
    def parent(self) -> str | None:
        """The parent's path; None for the root."""
        return (self.path.rpartition("/")[0] or "/") if self.depth else None

    @property
    def name(self) -> str:
        """The last segment; `/` for the root."""
        return self.path.rpartition("/")[2] or "/"

    @property
    def _place(self) -> tuple[datetime, str]:
        return self.subtree.extremes["first_at"], self.name


class TooManyPaths(Exception):
    """The tree has more than NODES_MAX nodes."""


def build_tree(rows: Iterable[Mapping[str, Any]]) -> list[PathNode]:
    """All nodes in walking order; children by first occurrence, then name. `rows` are those of `session_paths`.

    Raises:
        TooManyPaths: before more than NODES_MAX nodes are held.
    """
    nodes: dict[str, PathNode] = {}
    for row in rows:
        node = _grow(nodes, row["path"])
        node.own.add(row, row)
    # The deepest first: every node is complete before it is added to its parent.
    for node in sorted(nodes.values(), key=lambda node: node.depth, reverse=True):
        node.subtree.add(node.own.sums, node.own.extremes)
        if node.parent is not None:
            parent = nodes[node.parent]
            parent.subtree.add(node.subtree.sums, node.subtree.extremes)
            parent.children.append(node)
    return _walk(nodes.get("/"))


def _grow(nodes: dict[str, PathNode], path: str) -> PathNode:
    """The node of a path; it and the parents that it lacks are made."""
    missing: str | None = path
    depth = 0 if path == "/" else path.count("/")
    while missing is not None and missing not in nodes:
        if len(nodes) == NODES_MAX:
            raise TooManyPaths
        node = nodes[missing] = PathNode(missing, depth)
        missing, depth = node.parent, depth - 1
    return nodes[path]


def _walk(root: PathNode | None) -> list[PathNode]:
    waiting = [root] if root else []
    walked = []
    while waiting:
        node = waiting.pop()
        walked.append(node)
        waiting += sorted(node.children, key=lambda child: child._place, reverse=True)
    return walked


async def session_paths(snapshot: "Snapshot", project_id: int, session_key: UUID) -> list[PathNode] | None:
    """The tree of one session; None when it has more than NODES_MAX nodes."""
    rows = await snapshot.fetch(statement("session_paths"), project_id, session_key, NODES_MAX + 1)
    try:
        return build_tree([dict(row) for row in rows])
    except TooManyPaths:
        return None
