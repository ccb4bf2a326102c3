"""Goal: a token leads back to its place, and nothing else is taken for one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from query.cursors import read_place, write_place
from query.errors import InvalidQuestion
from query.sessions import Place


@pytest.mark.parametrize("at", [datetime(2026, 1, 7, 1, 2, 3, 456_789, UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_there_and_back(at: datetime) -> None:
    place = Place(at, UUID(int=7))
    assert read_place(write_place(place)) == place


@pytest.mark.parametrize("token", ["", "x", "ü", "AAAA", "A" * 33, "f" * 32])
def test_other_texts_are_refused(token: str) -> None:
    with pytest.raises(InvalidQuestion, match="Invalid cursor"):
        read_place(token)
