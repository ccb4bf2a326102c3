"""Every link within the documentation leads to a file, and every heading that is named exists."""

import re
from pathlib import Path

import pytest

from tests.docs.fences import prose
from tests.tidy.checkout import ROOT, name_of, texts

PAGES = [path for path in texts() if path.suffix == ".md"]
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
ELSEWHERE = ("https://", "http://", "mailto:")


def test_the_pages_that_people_look_for_are_there() -> None:
    assert {name_of(page) for page in PAGES} >= {
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
        *("docs/architecture.md", "docs/configuration.md", "docs/errors.md"),
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [found["target"] for found in LINK.finditer(prose(page))]

    assert [target for target in targets if not leads_somewhere(page, target)] == []


@pytest.mark.parametrize("target", ["nowhere.md", "README.md#no-such-heading", "infra/nothing/"])
def test_a_dead_link_is_found(target: str) -> None:
    assert not leads_somewhere(ROOT / "README.md", target)


@pytest.mark.parametrize("target", ["LICENSE", "README.md#try-it", "#try-it", "docs/decisions/", "https://example.com"])
def test_a_live_link_is_not(target: str) -> None:
    assert leads_somewhere(ROOT / "README.md", target)


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether a relative link leads to a file or folder of this checkout; links to elsewhere are taken on trust."""
    if target.startswith(ELSEWHERE):
        return True
    path, _, heading = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.is_relative_to(ROOT) or not there.exists():
        return False
    return not heading or heading in {anchor(found["text"]) for found in HEADING.finditer(prose(there))}


def anchor(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
