"""Since when requests are stored: what began earlier is known by its roll-ups alone."""

from datetime import datetime
from typing import TYPE_CHECKING

from query.instants import iso
from query.statements import statement

if TYPE_CHECKING:
    from query.store import Snapshot


async def requests_since(snapshot: "Snapshot", project_id: int) -> datetime | None:
    """The time from which on the project's requests are stored; None: all are."""
    since: datetime | None = await snapshot.fetchval(statement("requests_since"), project_id)
    return since


def since_member(since: datetime | None, start: datetime | None = None) -> dict[str, object]:
    """The answer's member `requests_since`, where what was asked begins at `start` (None: open) and so before it."""
    return {} if since is None or (start is not None and start >= since) else {"requests_since": iso(since)}
