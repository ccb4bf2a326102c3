"""A code generation assistant: it asks back, writes, tests, and refines until the tests pass."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.samples.steps import DataStep, ModelCall, Step, ToolCall, VectorSearch

WRITER, THINKER = "claude-sonnet-4-5", "gpt-4o-mini"


@dataclass(frozen=True)
class Task:
    """What someone wants written."""

    wish: str
    file: str
    question: str
    answer: str
    code: str
    refinements: tuple[tuple[str, str], ...]
    """What the tests complained about, and the change that satisfied them; the last one passes."""


TASKS = (
    Task(
        wish="A Python function that splits an invoice total over its lines to the cent.",
        file="billing/split.py",
        question="Should the remainder go to the first lines or to the largest?",
        answer="To the largest line, and the sum must always match.",
        code="def split(total_cents: int, weights: list[int]) -> list[int]:\n    ...",
        refinements=(
            ("test_zero_weights: ZeroDivisionError", "An empty or all-zero list of weights now shares equally."),
            ("test_rounding: expected 1000, got 999", "The remainder is added after rounding down, to the largest."),
        ),
    ),
    Task(
        wish="A React hook that debounces a search field and cancels the request before.",
        file="web/src/useSearch.ts",
        question="How long should typing pause before a request goes out?",
        answer="250 ms, and nothing for fewer than three letters.",
        code="export function useSearch(term: string, pauseMs = 250) {\n  // ...\n}",
        refinements=(("useSearch: stale answer wins", "The signal of the earlier request is aborted on change."),),
    ),
    Task(
        wish="A SQL view with the monthly recurring revenue of each plan.",
        file="warehouse/views/revenue_by_plan.sql",
        question="Do trials count from the first day or from the first payment?",
        answer="From the first payment.",
        code="CREATE VIEW revenue_by_plan AS\nSELECT plan, sum(amount_cents) AS cents\nFROM payments\nGROUP BY plan;",
        refinements=(
            ("row for 2024-02 counts a refund twice", "Refunds are joined by payment and subtracted once."),
            ("plan 'legacy' is missing", "A left join from plans keeps those without payments."),
            ("month is shifted for US customers", "The month is taken in UTC."),
        ),
    ),
    Task(
        wish="A command that renames the photos of a folder after the day they were taken.",
        file="tools/rename_photos.py",
        question="What about photos without that date?",
        answer="Leave them alone and list them at the end.",
        code="def rename(folder: Path, *, dry_run: bool = True) -> list[Path]:\n    ...",
        refinements=(("test_same_second: one file overwritten", "A counter follows the time when it is taken."),),
    ),
)


def generate_code(task: Task) -> Iterator[Step]:
    """Understand, clarify, plan, write, then refine once for each complaint of the tests."""
    yield from _understand(task)
    yield from _plan(task)
    yield from _write(task)
    yield from _refine(task)
    yield ModelCall(
        path="/generate/explain",
        seconds=2.2,
        model=THINKER,
        prompt=f"Explain the change to {task.file} in two sentences.",
        reply=f"{task.file} does what was asked. {task.refinements[-1][1]}",
        context_tokens=900,
    )


def _understand(task: Task) -> Iterator[Step]:
    yield ModelCall(
        path="/generate/understand/requirements",
        seconds=1.6,
        model=THINKER,
        prompt=f"Summarise what has to be built and what is unclear: {task.wish}",
        reply=f"To build: {task.file}. Unclear: {task.question}",
        context_tokens=420,
    )
    yield ModelCall(
        path="/generate/understand/clarify",
        seconds=1.1,
        model=THINKER,
        prompt=f"Ask the user one question about: {task.wish}",
        reply=task.question,
        thread=True,
    )
    yield DataStep(
        path="/generate/understand/clarify",
        seconds=9.0,
        name="user_answer",
        meta={"question": task.question, "channel": "editor"},
        message=task.answer,
    )


def _plan(task: Task) -> Iterator[Step]:
    yield VectorSearch(
        path="/generate/context/similar_code",
        seconds=0.09,
        database="repository",
        text=task.wish,
        matches=(task.file, "docs/conventions.md", "tests/conftest.py"),
    )
    yield ToolCall(
        path="/generate/context/read_file",
        seconds=0.03,
        tool="read_file",
        arguments={"path": "docs/conventions.md"},
        result={"lines": 118, "encoding": "utf-8"},
    )
    yield ModelCall(
        path="/generate/plan",
        seconds=3.8,
        model="o4-mini",
        prompt=f"Plan the change in at most five steps. The user said: {task.answer}",
        reply="1. Write the signature. 2. Cover the odd cases. 3. Test them. 4. Document. 5. Check the types.",
        context_tokens=1_850,
    )


def _write(task: Task) -> Iterator[Step]:
    yield ModelCall(
        path="/generate/write/code",
        seconds=8.5,
        model=WRITER,
        prompt=f"Write {task.file}. {task.wish} {task.answer}",
        reply=task.code,
        context_tokens=4_200,
        thread=True,
    )
    yield ModelCall(
        path="/generate/write/tests",
        seconds=6.1,
        model=WRITER,
        prompt=f"Write the tests of {task.file}.",
        reply="Seven tests, two of them for the odd cases.",
        context_tokens=4_200,
        cached=True,
        thread=True,
    )


def _refine(task: Task) -> Iterator[Step]:
    for complaint, change in task.refinements:
        yield _run_tests(passed=False, output=complaint)
        yield ModelCall(
            path="/generate/refine/fix",
            seconds=4.9,
            model=WRITER,
            prompt=f"The tests say: {complaint}. Change the code.",
            reply=change,
            context_tokens=4_600,
            cached=True,
            thread=True,
        )
    yield _run_tests(passed=True, output="7 passed")


def _run_tests(*, passed: bool, output: str) -> ToolCall:
    # The tool worked, whatever it found: red tests are an answer, not an error of the session.
    return ToolCall(
        path="/generate/refine/run_tests",
        seconds=3.4,
        tool="run_tests",
        arguments={"selection": "changed"},
        result={"passed": passed, "output": output},
    )
