"""`python -m tests.benchmarks`: measure everything, print a table, write docs/benchmarks/latest.json."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.console import Console

from tests.benchmarks.client_log import client_log
from tests.benchmarks.drain import drain
from tests.benchmarks.end_to_end import end_to_end
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, MeasurementFailed, prepared_ground
from tests.benchmarks.http_figures import http_batch_100, http_otlp_100, http_p99, http_single
from tests.benchmarks.plan import Plan, Reporter
from tests.benchmarks.report import code_version, show, write

SECONDS_MAX = 1_200.0
"""A bench that takes longer hangs."""

LOG_COLUMNS = 132
"""Where nobody says how wide the page is, the table gets the room that it needs."""

Measure = Callable[[Ground, Plan, Reporter], Awaitable[list[Figure]]]

MEASURES: dict[str, Measure] = {
    "client_log": client_log,
    "http_single": http_single,
    "http_p99": http_p99,
    "http_batch_100": http_batch_100,
    "http_otlp_100": http_otlp_100,
    "drain": drain,
    "end_to_end": end_to_end,
}
"""In this order. `end_to_end` also gives the CPU of each stage."""


command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@command.command()
def main(
    only: Annotated[str, typer.Option(help=f"Measure one of: {', '.join(MEASURES)}. Not written.")] = "",
    runs: Annotated[int, typer.Option(min=1, help="Counted runs of each figure.")] = 5,
    quick: Annotated[bool, typer.Option(help="One short run, to see that it works. Not written.")] = False,
) -> None:
    """Figures as ratios within one run on one machine. Fails when a floor or a limit does not hold."""
    if only and only not in MEASURES:
        raise typer.BadParameter(f"there is no {only}: {', '.join(MEASURES)}")
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_COLUMNS)
    # What a client library retries is not a figure.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = Plan.quick() if quick else Plan.full(runs)
    commit = code_version()
    try:
        figures = asyncio.run(_measure([only] if only else list(MEASURES), plan, Reporter(console)))
    except MeasurementFailed as fault:
        console.print(f"[red]no figures:[/red] {fault}")
        raise typer.Exit(1) from fault
    show(figures, console)
    if not quick and not only:
        console.print(f"written to {write(figures, commit)}")
    if not quick and any(figure.holds is False for figure in figures):
        raise typer.Exit(1)


async def _measure(names: list[str], plan: Plan, reporter: Reporter) -> list[Figure]:
    figures: list[Figure] = []
    async with asyncio.timeout(SECONDS_MAX), prepared_ground() as ground:
        for name in names:
            reporter.console.print(f"[bold]{name}[/bold]")
            if name == "end_to_end":
                drained = next((figure.median for figure in figures if figure.name == "drain"), None)
                figures += await end_to_end(ground, plan, reporter, drain_rate=drained)
            else:
                figures += await MEASURES[name](ground, plan, reporter)
    return figures


if __name__ == "__main__":
    command()
