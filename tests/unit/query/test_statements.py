"""Goal: every statement file is used, says what its header must, lists its columns, and has its marks filled."""

import re
from pathlib import Path

import pytest

import query
from query.statements import statement

FOLDER = Path(query.__file__).parent
FILES = sorted(FOLDER.joinpath("sql").glob("*.sql"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_statement_file(file: Path) -> None:
    text = file.read_text()
    header = " ".join(line for line in text.splitlines() if line.startswith("--"))
    assert "?" in header
    assert "Parameters:" in header
    assert "Index:" in header
    assert "Rows:" in header
    assert not re.search(r"\*\s*(,|FROM)", text.replace("count(*)", ""))
    sources = " ".join(source.read_text() for source in FOLDER.rglob("*.py"))
    assert f'"{file.stem}"' in sources
    assert f"async def {file.stem}(" in sources or file.stem.startswith("list_sessions_from_")


def test_marks_are_replaced_with_their_defaults() -> None:
    pieces = {"matching": "<m>", "listed": "<l>", "order": "<o>", "request_leaves": "<r>"}
    text = statement("list_sessions_from_requests", **pieces)
    assert all(piece in text for piece in pieces.values())
    assert "/*{" not in text
    assert "AND true" not in text
    with pytest.raises(KeyError):
        statement("list_sessions_from_requests")
