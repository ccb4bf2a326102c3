"""The files of this checkout as the house rules see them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("infra", "ingest", "processors", "query")
FOLDERS = (*PACKAGES, "tests", "docs", "requirements", ".ci")
BUILT = {"__pycache__", "node_modules", "dist"}
KEPT_INPUTS = ROOT / "tests" / "fuzz" / "corpus"
"""Bytes that once broke something: nobody reads them as text."""


def modules(*folders: str) -> list[Path]:
    """Every Python file below the folders; below all packages and the tests when none is named."""
    below = folders or (*PACKAGES, "tests")
    return sorted(path for folder in below for path in _files(ROOT / folder) if path.suffix == ".py")


def texts() -> list[Path]:
    """Every file that belongs to the project and can be read as text."""
    at_root = [path for path in ROOT.iterdir() if path.is_file()]
    candidates = [*at_root, *(path for folder in FOLDERS for path in _files(ROOT / folder))]
    readable = (path for path in candidates if not path.is_relative_to(KEPT_INPUTS))
    return sorted(path for path in readable if b"\0" not in path.read_bytes()[:8_192])


def name_of(path: Path) -> str:
    """The path as people write it: relative to the root."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            yield from () if path.name in BUILT else _files(path)
        else:
            yield path
