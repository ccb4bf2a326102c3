"""Statements with the pieces that the filter and the sort decide filled in."""

import re

from infra.postgres import load_sql

MARK = re.compile(r"/\*\{(\w+)\}\*/(true|\w\.\w+ DESC|)")
"""`/*{name}*/` and the default behind it, with which the file is a whole statement by itself."""


def statement(name: str, **pieces: str) -> str:
    """The text of `sql/<name>.sql` with its marked expressions replaced.

    `pieces` are SQL that is constant or made by the filter compiler, never text of a caller.

    Raises:
        KeyError: the statement has a mark that is not given; a programmer's error.
    """
    return MARK.sub(lambda mark: pieces[mark.group(1)], load_sql("query", name))
