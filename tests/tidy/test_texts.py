"""House rules of every file: no promise without an issue, nothing that binds the project to one place.

The patterns are put together here, so that this file does not break the rules that it checks.
"""

import re

import pytest

from tests.tidy.checkout import ROOT, name_of, texts

PROMISE = re.compile(r"\b" + "TO" + r"DO\b(?!\(#\d+\))|\bFIX" + r"ME\b|\bXX" + r"X\b")

REGISTRIES = [
    re.escape(".".join(parts))
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("sonatype", "org"),
        ("anaconda", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
    )
]
REGISTRY = re.compile(r"(?<![\w.-])(?:[\w-]+\.)*(?:" + "|".join(REGISTRIES) + r")\b", re.IGNORECASE)

FAR_PATH = re.compile(r"(?<![\w.:/-])/(?:wor" + r"k|hom" + r"e|Use" + r"rs)/\w|\.\./sha" + r"red\b")


def test_the_patterns_find_what_they_are_for() -> None:
    assert PROMISE.search("# TO" + "DO: later")
    assert not PROMISE.search("# TO" + "DO(#12): later")
    assert REGISTRY.search("https://files.python" + "hosted.org/x")
    assert FAR_PATH.search("see /wor" + "k/main")


def test_the_walk_sees_the_root_the_packages_and_the_docs() -> None:
    seen = {name_of(path) for path in texts()}

    assert seen >= {
        "README.md",
        "pyproject.toml",
        "infra/schema/schema.sql",
        "docs/architecture.md",
        "tests/conftest.py",
    }


@pytest.mark.parametrize("pattern", [PROMISE, REGISTRY, FAR_PATH], ids=["promises", "registries", "far paths"])
def test_no_file_holds(pattern: re.Pattern[str]) -> None:
    found = {name_of(path): pattern.findall(path.read_text(encoding="utf-8")) for path in texts()}

    assert {name: words for name, words in found.items() if words} == {}


def test_the_root_holds_what_a_visitor_needs_and_nothing_else() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}

    assert visible - {"dist", "build"} == {
        *("infra", "ingest", "processors", "query", "tests", "docs", "requirements"),
        *("Makefile", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
    }
