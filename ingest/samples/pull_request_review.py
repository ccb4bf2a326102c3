"""A reviewer of pull requests: it reads the change, looks at each file from three sides, and writes one comment."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.samples.steps import DataStep, ModelCall, Step, ToolCall, VectorSearch

REVIEWER, SUMMARISER = "gpt-4.1", "gpt-4o-mini"


@dataclass(frozen=True)
class PullRequest:
    """A change to look at."""

    number: int
    title: str
    files: tuple[str, ...]
    finding: str
    pipeline_works: bool = True


PULL_REQUESTS = (
    PullRequest(4127, "Store sessions in Redis", ("auth/session.py", "auth/cookies.py"), "The cookie lacks SameSite."),
    PullRequest(
        4131,
        "Import customers from CSV",
        ("imports/customers.py", "imports/csv_rows.py", "tests/test_imports.py"),
        "A formula in a cell reaches the export unescaped.",
    ),
    PullRequest(4135, "Retry webhooks with jitter", ("webhooks/deliver.py",), "The last attempt waits for nothing."),
    PullRequest(
        4140,
        "Move the price table to Postgres",
        ("prices/table.py", "prices/migrations/0007_prices.sql"),
        "The migration locks the table for the whole copy.",
        pipeline_works=False,
    ),
)


def review(change: PullRequest) -> Iterator[Step]:
    """Fetch, then security, performance and style of each file side by side, then the pipeline and the comment."""
    yield ToolCall(
        path="/review/fetch/diff",
        seconds=0.6,
        tool="get_pull_request",
        arguments={"number": change.number},
        result={"title": change.title, "files": list(change.files), "additions": 61 * len(change.files)},
    )
    yield VectorSearch(
        path="/review/fetch/guidelines",
        seconds=0.12,
        database="guidelines",
        text=change.title,
        matches=("reviews/security.md", "reviews/performance.md"),
    )
    for file in change.files:
        yield from _review_file(change, file)
    yield from _check_pipeline(change)
    if not change.pipeline_works:
        return
    yield ModelCall(
        path="/review/report/summarise",
        seconds=2.7,
        model=SUMMARISER,
        prompt=f"Write one comment on #{change.number} from these findings: {change.finding}",
        reply=f"One thing to change before this goes in: {change.finding} The rest reads well.",
        context_tokens=1_300,
    )
    yield ToolCall(
        path="/review/report/post",
        seconds=0.5,
        tool="post_comment",
        arguments={"number": change.number, "event": "REQUEST_CHANGES"},
        result={"comment_id": change.number * 1_000 + 17},
    )


def _review_file(change: PullRequest, file: str) -> Iterator[Step]:
    yield ModelCall(
        path="/review/analyse/security",
        seconds=5.2,
        model=REVIEWER,
        prompt=f"Look for security problems in {file} of “{change.title}”.",
        reply=change.finding if file == change.files[0] else "Nothing found.",
        context_tokens=2_900,
    )
    yield ModelCall(
        path="/review/analyse/performance",
        seconds=4.1,
        model=REVIEWER,
        prompt=f"Look for slow code in {file}.",
        reply="Nothing in a hot loop.",
        context_tokens=2_900,
        cached=True,
        together=True,
    )
    yield ToolCall(
        path="/review/analyse/style",
        seconds=0.8,
        tool="run_linter",
        arguments={"file": file},
        result={"warnings": 0, "fixed": 2},
        together=True,
    )


def _check_pipeline(change: PullRequest) -> Iterator[Step]:
    yield ToolCall(
        path="/review/pipeline/start",
        seconds=1.2,
        tool="start_pipeline",
        arguments={"ref": f"refs/pull/{change.number}/head"},
        result={"run": change.number + 90_000},
    )
    if change.pipeline_works:
        yield DataStep(
            path="/review/pipeline/result",
            seconds=0.02,
            name="pipeline_result",
            meta={"run": change.number + 90_000},
            message="green: 412 tests in 96 s",
        )
        return
    for attempt in (1, 2):
        yield ToolCall(
            path="/review/pipeline/result",
            seconds=30.0,
            status=504,
            tool="await_pipeline",
            arguments={"run": change.number + 90_000, "attempt": attempt},
            result={"status": "error", "message": "no runner took the job within 30 s"},
        )
