"""Goal: docs/masking.md names every builtin, and its example is one."""

import re
from pathlib import Path

from infra.masking_patterns import BUILTINS
from infra.project_settings import parse_settings

PAGE = (Path(__file__).parents[2] / "docs" / "masking.md").read_text(encoding="utf-8")


def test_the_page_names_every_builtin_and_no_other() -> None:
    table = PAGE.split("## Builtins")[1].split("##")[0]
    named = [name for row in re.findall(r"^\| (`.*?`) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(BUILTINS)


def test_the_example_is_taken() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    assert len(parse_settings(example).masking) == 3
