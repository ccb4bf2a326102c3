"""The filter language of the read API (section 2): a JSON tree in, SQL conditions out. Pure.

`parse` checks a tree and names the first thing that is wrong with it. `compile_for_requests` makes one condition
on requests of it; `compile_for_sessions` splits it as section 2.5 says: what selects the matching requests, and
what must then hold for the session. The SQL is put together of constant pieces; every value of a caller is a
parameter.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from query.columns import SESSION_PROPERTIES, TABLES, Column, Level, Type
from query.conditions import OPERATORS, Condition, Parameters, condition_sql, parse_value
from query.errors import InvalidQuestion

NESTING_LEVELS_MAX = 50
LEAVES_MAX = 200
"""Counted by condition, so that one leaf with many columns weighs as many."""


@dataclass(frozen=True)
class Leaf:
    """Conditions that all hold."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Branch:
    """Both sides hold (`and`), or at least one (`or`)."""

    operator: str
    left: "Node"
    right: "Node"


Node = Leaf | Branch
"""A checked tree. `"all"` and `{}` are a leaf without conditions."""


@dataclass(frozen=True)
class SessionFilter:
    """A tree, split for a question about sessions."""

    matching: str
    """Condition on requests `r`: which of them count."""
    request_leaves: tuple[str, ...]
    """Conditions on requests `r`, each of which one matching request can satisfy; see `listed`."""
    listed: str
    """Condition on sessions with their figures `f`, and on `f.holds[n]`: does the n-th request leaf hold?"""

    @property
    def asks_requests(self) -> bool:
        """Whether single requests decide anything; if not, the roll-ups can answer."""
        return self.matching != "true" or bool(self.request_leaves)


def parse(tree: object, *, of_sessions: bool) -> Node:
    """Check a filter tree. `of_sessions`: the question is about sessions, not requests.

    Raises:
        InvalidQuestion: with the text that the specification gives for what is wrong.
    """
    parser = _Parser(of_sessions)
    return parser.node(tree, 0)


class _Parser:
    """Walks one tree and counts its leaves; recursion is bounded by NESTING_LEVELS_MAX."""

    def __init__(self, of_sessions: bool) -> None:
        self._of_sessions = of_sessions
        self._leaves = 0

    def node(self, tree: object, level: int) -> Node:
        if tree == "all" or tree == {}:
            return Leaf(())
        if not isinstance(tree, dict):
            raise InvalidQuestion("Invalid filter: a node is 'all' or an object")
        if "operator" not in tree and "left" not in tree and "right" not in tree:
            return self._leaf(tree)
        if level >= NESTING_LEVELS_MAX:
            raise InvalidQuestion("Filter too complex")
        if tree.get("operator") not in ("and", "or"):
            raise InvalidQuestion("Invalid filter: only OR is supported")
        if tree.keys() != {"left", "operator", "right"}:
            raise InvalidQuestion("Invalid filter: a branch has left, operator and right")
        return Branch(tree["operator"], self.node(tree["left"], level + 1), self.node(tree["right"], level + 1))

    def _leaf(self, tree: dict[str, object]) -> Leaf:
        conditions: list[Condition] = []
        for table, columns in tree.items():
            if table == "properties":
                conditions += self._properties(table, columns)
                continue
            if table not in TABLES:
                raise InvalidQuestion(f"Unknown filter table: {table}")
            for name, operators in _members(columns, f"column: {table}."):
                conditions += self._column(table, name, operators)
        return Leaf(tuple(conditions))

    def _column(self, table: str, name: str, operators: object) -> Iterator[Condition]:
        if name not in TABLES[table]:
            raise InvalidQuestion(f"Unknown filter column: {table}.{name}")
        column = TABLES[table][name]
        if column is None or (column.level is Level.SESSION and not self._of_sessions):
            raise InvalidQuestion(f"Filter not supported yet: {table}.{name}")
        if column.type is Type.PROPERTY:
            yield from self._properties(f"{table}.{name}", operators)
            return
        yield from self._conditions(column, f"{table}.{name}", operators)

    def _properties(self, where: str, names: object) -> Iterator[Condition]:
        for name, operators in _members(names, f"column: {where}."):
            if "\0" in name:
                raise InvalidQuestion(f"Unknown filter column: {where}.{name}")
            column = SESSION_PROPERTIES.get(name.lower()) if self._of_sessions else None
            yield from self._conditions(column or Column(Type.PROPERTY, ""), f"{where}.{name}", operators, name)

    def _conditions(self, column: Column, where: str, operators: object, name: str = "") -> Iterator[Condition]:
        for operator, value in _members(operators, f"operator: {where}."):
            if operator not in OPERATORS:
                raise InvalidQuestion(f"Unknown filter operator: {where}.{operator}")
            self._leaves += 1
            if self._leaves > LEAVES_MAX:
                raise InvalidQuestion("Filter too complex")
            try:
                yield Condition(column, operator, parse_value(column, operator, value), name)
            except ValueError as fault:
                raise InvalidQuestion(f"Invalid filter value for {where}") from fault


def _members(level: object, missing: str) -> list[tuple[str, object]]:
    """The members of an object that may be neither empty nor anything but an object."""
    if not isinstance(level, dict) or not level:
        raise InvalidQuestion(f"Unknown filter {missing}")
    return list(level.items())


def compile_for_requests(node: Node, parameters: Parameters) -> str:
    """The tree as one condition on requests `r`."""
    return _combine(node, lambda condition: condition_sql(condition, parameters))


def compile_for_sessions(node: Node, parameters: Parameters) -> SessionFilter:
    """The tree split by section 2.5: conjuncts of requests only select; the others are about the session.

    In a conjunct that mixes both levels, a leaf's request-level part holds if one matching request satisfies
    it.
    """
    matching: list[str] = []
    listed: list[str] = []
    request_leaves: list[str] = []

    def one_request_satisfies(conditions: tuple[Condition, ...]) -> str:
        request_leaves.append(_all_of([condition_sql(condition, parameters) for condition in conditions]))
        return f"f.holds[{len(request_leaves)}]"

    def session_leaf(leaf: Leaf) -> str:
        of_request = tuple(c for c in leaf.conditions if c.column.level is Level.REQUEST)
        of_session = [condition_sql(c, parameters) for c in leaf.conditions if c.column.level is Level.SESSION]
        return _all_of(of_session + ([one_request_satisfies(of_request)] if of_request else []))

    for conjunct in _conjuncts(node):
        if _has_level(conjunct, Level.SESSION):
            listed.append(_combine_leaves(conjunct, session_leaf))
        elif _has_level(conjunct, Level.REQUEST):  # one of `"all"` alone says nothing
            matching.append(compile_for_requests(conjunct, parameters))
    return SessionFilter(_all_of(matching), tuple(request_leaves), _all_of(listed))


def _conjuncts(node: Node) -> Iterator[Node]:
    """The parts of the top-level AND; a leaf's conditions are such parts, too."""
    if isinstance(node, Leaf):
        for condition in node.conditions:
            yield Leaf((condition,))
    elif node.operator == "and":
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _has_level(node: Node, level: Level) -> bool:
    if isinstance(node, Leaf):
        return any(condition.column.level is level for condition in node.conditions)
    return _has_level(node.left, level) or _has_level(node.right, level)


def _combine(node: Node, condition: Callable[[Condition], str]) -> str:
    return _combine_leaves(node, lambda leaf: _all_of([condition(c) for c in leaf.conditions]))


def _combine_leaves(node: Node, leaf: Callable[[Leaf], str]) -> str:
    if isinstance(node, Leaf):
        return leaf(node)
    left, right = _combine_leaves(node.left, leaf), _combine_leaves(node.right, leaf)
    return f"({left} {'AND' if node.operator == 'and' else 'OR'} {right})"


def _all_of(conditions: list[str]) -> str:
    kept = [condition for condition in conditions if condition != "true"]
    if len(kept) > 1:
        return f"({' AND '.join(kept)})"
    return kept[0] if kept else "true"
