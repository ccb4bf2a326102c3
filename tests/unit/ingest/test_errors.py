"""Goal: whatever is refused is documented. Method: walk the tree of errors and the codes in the sources."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import IngestError

ROOT = Path(__file__).parents[3]
DOCUMENTED = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs/errors.md").read_text()))


def family(error: type[IngestError]) -> Iterator[type[IngestError]]:
    yield error
    for child in error.__subclasses__():
        yield from family(child)


@pytest.mark.parametrize("error", list(family(IngestError)), ids=lambda error: error.__name__)
def test_each_error_is_documented_and_says_what_happened(error: type[IngestError]) -> None:
    assert error.code in DOCUMENTED
    assert 400 <= error.status <= 599
    assert error().text, "the docstring's first line is the default text"
    if error.status == 503 and not error.__subclasses__():
        assert getattr(error(), "retry_after_seconds", 0) > 0


def test_each_code_in_the_sources_is_documented() -> None:
    sources = [*(ROOT / "ingest/decode").glob("*.py"), *(ROOT / "ingest/routes").glob("*.py")]
    sources += [ROOT / "ingest/event.py", ROOT / "ingest/envelope.py", ROOT / "ingest/json_text.py"]
    used = {code for source in sources for code in re.findall(r'code(?:: str)? ?= ?"(\w+)"', source.read_text())}
    assert used
    assert used - DOCUMENTED == set()
