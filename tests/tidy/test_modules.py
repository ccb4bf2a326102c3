"""House rules of modules: names of the domain, a length that fits into a head, packages without code of their own."""

import ast
from typing import TypeGuard

from tests.tidy.checkout import PACKAGES, ROOT, modules, name_of, tree_of

DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core", "manager", "types"}
"""Names that say nothing, so that everything fits in and nothing is found."""

PUBLIC_PACKAGES = {"ingest/client/pathline/__init__.py"}
"""Packages that people import from: they bring the public names together, and hold imports for that."""

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
"""Tripwires, not targets: a module of 250 lines and a function of 40 are what we aim at."""


def test_the_walk_sees_every_stage() -> None:
    seen = {path.relative_to(ROOT).parts[0] for path in modules()}

    assert seen == {*PACKAGES, "tests"}


def test_a_module_is_named_for_what_it_is() -> None:
    drawers = [name_of(path) for path in modules() if DRAWERS & {*path.relative_to(ROOT).parts[:-1], path.stem}]

    assert drawers == []


def test_a_module_stays_short() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}

    assert {name: count for name, count in lines.items() if count > MODULE_LINES_MAX} == {}


def test_a_function_stays_short() -> None:
    functions = [(path, node) for path in modules(*PACKAGES) for node in ast.walk(tree_of(path)) if is_function(node)]
    lines = {f"{name_of(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1 for path, node in functions}

    assert {name: count for name, count in lines.items() if count > FUNCTION_LINES_MAX} == {}


def test_a_package_says_what_it_is() -> None:
    packages = [path for path in modules(*PACKAGES) if path.name == "__init__.py"]

    assert [name_of(path) for path in packages if not ast.get_docstring(tree_of(path))] == []


def test_a_package_holds_no_code_of_its_own() -> None:
    packages = [path for path in modules() if path.name == "__init__.py"]
    code = {
        name_of(path): [ast.unparse(node) for node in tree_of(path).body if is_code(node, name_of(path))]
        for path in packages
    }

    assert {name: statements for name, statements in code.items() if statements} == {}


def test_a_module_begins_with_what_it_is_for() -> None:
    silent = [path for path in modules() if path.name != "__init__.py" and not ast.get_docstring(tree_of(path))]

    assert [name_of(path) for path in silent] == []


def is_function(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Whether it begins with `def` or `async def`."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def is_code(node: ast.stmt, name: str) -> bool:
    """Whether the statement is neither a docstring nor `__all__`, nor a public package's import."""
    if isinstance(node, ast.ImportFrom) and name in PUBLIC_PACKAGES:
        return False
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return not isinstance(node.value.value, str)
    return not (isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"])
