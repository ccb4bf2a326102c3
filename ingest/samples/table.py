"""Waiting for the samples to show up in the query service, and the table of what it says."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ingest.samples.errors import SamplesFailed
from ingest.samples.http_client import HttpClient
from ingest.samples.sessions import SampleSession

POLL_SECONDS = 0.1

STYLES = {"completed": "green", "failed": "red", "active": "yellow"}


def await_sessions(query: HttpClient, sessions: Sequence[SampleSession], seconds_max: float) -> list[dict[str, Any]]:
    """The sessions as the query service knows them, in the order given, once it knows all their events.

    Raises:
        SamplesFailed: some are not complete when the time is over.
    """
    complete: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + seconds_max
    while True:
        for session in sessions:
            if session.session_id not in complete and (found := _read(query, session)) is not None:
                complete[session.session_id] = found
        if len(complete) == len(sessions):
            return [complete[session.session_id] for session in sessions]
        if time.monotonic() > deadline:
            missing = len(sessions) - len(complete)
            raise SamplesFailed(
                f"{missing} of {len(sessions)} sessions are not complete in {query.url} after {seconds_max:g} s: "
                "look at the log of the processors"
            )
        time.sleep(POLL_SECONDS)


def _read(query: HttpClient, session: SampleSession) -> dict[str, Any] | None:
    answer = query.get(f"/v1/sessions/{quote(session.session_id, safe='')}")
    if answer is None:
        return None
    found: dict[str, Any] = answer["data"]
    wanted = len(session.calls) + (session.outcome is not None)
    return found if found["event_count"] >= wanted else None


def make_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The sessions as a table, newest first. In a narrow window the names wrap, the figures never."""
    table = Table(box=SIMPLE_HEAD, title="Sample sessions", title_justify="left", title_style="bold")
    table.add_column("Session")
    for name in ("Id", "Status", "User"):
        table.add_column(name, no_wrap=name != "User")
    for name in ("Requests", "Errors", "Tokens", "Duration"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in newest_first(rows):
        status = row["status"]
        table.add_row(
            row["name"],
            f"…{row['session_id'][-8:]}",
            f"[{STYLES.get(status, 'default')}]{status}[/]",
            ", ".join(row["user_ids"]),
            str(row["request_count"]),
            str(row["error_count"] or "-"),
            f"{_tokens(row):,}",
            f"{row['duration_ms'] / 1_000:.1f} s",
        )
    return table


def newest_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sessions in the order of the table."""
    return sorted(rows, key=lambda row: str(row["first_event_at"]), reverse=True)


def _tokens(row: dict[str, Any]) -> int:
    return sum(
        row[name]
        for name in (
            "prompt_tokens",
            "prompt_cache_read_tokens",
            "prompt_cache_write_tokens",
            "completion_tokens",
            "reasoning_tokens",
        )
    )
