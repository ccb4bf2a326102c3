"""`python -m ingest.samples --ingest URL --query URL --key KEY`: log the sample sessions and show them."""

import argparse
import sys
from contextlib import closing
from datetime import UTC, datetime

from rich.console import Console

from ingest.samples.errors import SamplesFailed
from ingest.samples.http_client import HttpClient
from ingest.samples.logs import log_session
from ingest.samples.sessions import make_sessions
from ingest.samples.table import await_sessions, make_table, newest_first

VISIBLE_SECONDS_MAX = 15.0
"""What is logged shows up well within a second; a start on a busy machine may take longer."""

NO_WINDOW_COLUMNS = 116
"""Wide enough for every cell of the table in one line."""


def main(arguments: list[str] | None = None) -> int:
    """Log, wait until everything is visible, print the table. The exit code is 0 when all of that worked."""
    parser = argparse.ArgumentParser(
        prog="python -m ingest.samples", description="Logs sample sessions through the public endpoints and shows them."
    )
    parser.add_argument("--ingest", required=True, metavar="URL", help="address of the ingest service")
    parser.add_argument("--query", required=True, metavar="URL", help="address of the query service")
    parser.add_argument("--key", required=True, help="API key that may write and read")
    options = parser.parse_args(arguments)
    try:
        # Where there is no window whose width counts, lines are as long as they need to be.
        console = Console() if sys.stdout.isatty() else Console(width=NO_WINDOW_COLUMNS)
        show_samples(options.ingest, options.query, options.key, console)
    except SamplesFailed as fault:
        Console(stderr=True).print(f"samples: {fault}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def show_samples(ingest_url: str, query_url: str, key: str, console: Console) -> None:
    """Log every sample session, then print them as the query service sees them.

    Raises:
        SamplesFailed: a service does not answer, refuses something, or does not show everything in time.
    """
    sessions = make_sessions(datetime.now(UTC))
    with closing(HttpClient(ingest_url, key)) as ingest:
        for session in sessions:
            log_session(ingest, session)
    with closing(HttpClient(query_url, key)) as query:
        rows = await_sessions(query, sessions, VISIBLE_SECONDS_MAX)
    console.print(make_table(rows))
    console.print("active: nobody said that it ended, and its last event came within the last five minutes")
    one = newest_first(rows)[0]["session_id"]
    ask = f"curl -H 'Authorization: Bearer {key}' {query_url}/v1/sessions/{one}"
    console.print(f"the first one with all its paths:\n  {ask}\n", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
