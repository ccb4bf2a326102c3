"""House rule of SQL: a statement is a file of its own that somebody runs, and a file that is named exists."""

import ast
import re
from pathlib import Path

from tests.tidy.checkout import PACKAGES, ROOT, modules, name_of, tree_of

FILES = sorted(path for package in PACKAGES for path in (ROOT / package / "sql").glob("*.sql"))
STAR = re.compile(r"\bselect\s+\*|\w\.\*", re.IGNORECASE)


def test_the_walk_sees_statements() -> None:
    assert len(FILES) > 10


def test_a_statement_is_run_by_its_stage() -> None:
    words = {package: words_of(package) for package in PACKAGES}

    assert [name_of(path) for path in FILES if path.stem not in words[path.parent.parent.name]] == []


def test_a_statement_says_what_it_is_for() -> None:
    assert [name_of(path) for path in FILES if not path.read_text(encoding="utf-8").startswith("-- ")] == []


def test_columns_are_listed() -> None:
    lines = [(name_of(path), line) for path in FILES for line in path.read_text(encoding="utf-8").splitlines()]

    assert [(name, line) for name, line in lines if STAR.search(line.split("--")[0])] == []


def test_a_statement_that_is_named_exists() -> None:
    named = {call for path in modules(*PACKAGES) for call in loads_of(path)}

    assert named
    assert {
        (package, name) for package, name in named if not (ROOT / package / "sql" / f"{name}.sql").exists()
    } == set()


def words_of(package: str) -> set[str]:
    """Every string that the package's modules spell out."""
    constants = (
        node for path in modules(package) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)
    )
    return {node.value for node in constants if isinstance(node.value, str)}


def loads_of(path: Path) -> set[tuple[str, str]]:
    """Package and name of every `load_sql` whose arguments are spelled out."""
    calls = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))
    found = set()
    for call in calls:
        if ast.unparse(call.func) == "load_sql" and all(isinstance(argument, ast.Constant) for argument in call.args):
            package, name = (ast.literal_eval(argument) for argument in call.args)
            found.add((package, name))
    return found
