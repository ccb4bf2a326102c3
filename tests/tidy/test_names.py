"""House rule of names: whatever is a length, a time or a bound says in which unit, or of what."""

import ast
import re

import pytest

from tests.tidy.checkout import PACKAGES, modules, name_of, tree_of

BARE = re.compile(r"(?:^|_)(?:timeout|size|limit|interval|delay|ttl)$", re.IGNORECASE)
"""A name that ends so leaves open whether it means seconds, milliseconds, bytes or events."""


@pytest.mark.parametrize("name", ["timeout", "body_size", "RETRY_INTERVAL", "limit"])
def test_bare_names_are_recognised(name: str) -> None:
    assert BARE.search(name)


@pytest.mark.parametrize("name", ["timeout_seconds", "BODY_BYTES_MAX", "idle_limit_seconds", "resize"])
def test_names_with_a_unit_pass(name: str) -> None:
    assert not BARE.search(name)


def test_a_constant_has_a_unit() -> None:
    names = {name_of(path): assigned(tree_of(path).body) for path in modules(*PACKAGES)}

    assert [
        (place, name) for place, found in names.items() for name in found if name.isupper() and BARE.search(name)
    ] == []


def test_a_setting_has_a_unit() -> None:
    trees = [tree_of(path) for path in modules(*PACKAGES) if path.name == "settings.py"]
    models = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]

    assert len(models) >= len(trees) > 1
    assert [(model.name, name) for model in models for name in assigned(model.body) if BARE.search(name)] == []


def assigned(body: list[ast.stmt]) -> list[str]:
    """Names that the statements of one body assign."""
    targets: list[ast.expr] = []
    for node in body:
        if isinstance(node, ast.AnnAssign):
            targets.append(node.target)
        elif isinstance(node, ast.Assign):
            targets += node.targets
    return [target.id for target in targets if isinstance(target, ast.Name)]
