"""How the commands of `python -m infra` speak: one console, and one line for a fault that a person can remedy."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import typer
from pydantic import ValidationError
from rich.console import Console

from infra.key_admin import KeyRefused
from infra.local.errors import LocalEngineError
from infra.migrate import MigrationError
from infra.project_settings import InvalidSettings
from infra.projects import UnknownProject

PIPE_COLUMNS = 1_000
"""Width where nobody looks: a table that another program reads must not be folded."""

console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_COLUMNS)

BAD_INPUT = 2
"""Exit code when what was typed is wrong, as typer's own."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End with one line a fault, for every fault that a person can remedy.

    The exit code is 2 when what was typed is wrong, 1 when something else is.
    """
    try:
        yield
    except ValidationError as exc:
        for fault in exc.errors():
            name = ".".join(str(part) for part in fault["loc"])
            complain(f"{name}: {fault['msg']}")
        raise typer.Exit(1) from exc
    except (InvalidSettings, UnknownProject, KeyRefused) as exc:
        complain(str(exc))
        raise typer.Exit(BAD_INPUT) from exc
    except (LocalEngineError, MigrationError, OSError, asyncpg.PostgresError) as exc:
        complain(str(exc))
        raise typer.Exit(1) from exc


def complain(text: str) -> None:
    """One line to standard error."""
    Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False, highlight=False)
