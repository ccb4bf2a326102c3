"""`python -m processors dead-letters …` and `python -m processors resume`."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import asyncpg
import typer
from rich.table import Table

from infra.console import BAD_INPUT, complain, console
from infra.project_commands import run
from infra.projects import find_project
from processors.dead_letter_desk import (
    Filter,
    Wanted,
    list_dead_letters,
    load_dead_letter,
    resume_generations,
    set_wanted_state,
)

dead_letters = typer.Typer(no_args_is_help=True, help="Records that could not become events.")

STATES = ("open", "requeue", "drop", "done")
SHOWN_BYTES_MAX = 64 * 1024
"""Of a record on a terminal; `--raw` gives all."""
NOT_FOUND = 1
"""Exit code when there is no such letter."""

TopicOption = Annotated[str | None, typer.Option("--topic", help="Name of the topic.")]
PartitionOption = Annotated[int | None, typer.Option("--partition", min=0)]
OffsetsOption = Annotated[str | None, typer.Option("--offsets", metavar="N|FIRST-LAST", help="Both included.")]
StepOption = Annotated[str | None, typer.Option("--step", help="decode or store.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="The stable code of the fault.")]
StateOption = Annotated[list[str] | None, typer.Option("--state", help=f"One of {', '.join(STATES)}; may be repeated.")]
ProjectOption = Annotated[str | None, typer.Option("--project", help="Name of the project, if the record names it.")]
SinceOption = Annotated[datetime | None, typer.Option("--since", help="Failed then or later, UTC.")]
UntilOption = Annotated[datetime | None, typer.Option("--until", help="Failed before, UTC.")]
GenerationOption = Annotated[int | None, typer.Option("--generation", min=1)]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Records at most, the first in the log first.")]
AllOption = Annotated[bool, typer.Option("--all", help="Without a limit.")]


@dead_letters.command("list")
def show_list(
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offsets: OffsetsOption = None,
    step: StepOption = None,
    reason: ReasonOption = None,
    state: StateOption = None,
    project: ProjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    generation: GenerationOption = None,
    limit: LimitOption = 100,
) -> None:
    """List dead letters in order of the log."""
    states = _states(state, STATES)
    which = _filter(topic, partition, offsets, step, reason, states, since, until, generation)

    async def read(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        return await list_dead_letters(connection, await _of_project(connection, which, project), limit)

    rows = run(read)
    if not rows:
        console.print("no dead letter matches", highlight=False)
        return
    table = Table("place", "gen.", "state", "step", "reason", "tries", "failed", "bytes", "detail")
    for row in rows:
        table.add_row(
            f"{row['topic']}/{row['partition']}/{row['offset']}",
            str(row["generation"]),
            row["state"],
            row["step"],
            row["reason"],
            str(row["attempts"]),
            f"{row['failed_at']:%F %T}",
            f"{row['record_bytes']:,}",
            row["detail"],
        )
    console.print(table, markup=False)
    if (matched := rows[0]["matched"]) > len(rows):
        console.print(f"{len(rows)} of {matched}: --limit shows more", highlight=False)


@dead_letters.command("show")
def show_one(
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As `list` prints it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Nothing but the record's bytes, to standard output.")] = False,
) -> None:
    """Show everything of one dead letter: what went wrong, and the record as it lay on the topic."""
    topic, partition, offset = _place(place)

    async def read(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        return await load_dead_letter(connection, topic, partition, offset)

    rows = run(read)
    if not rows:
        complain(f"{place} is no dead letter")
        raise typer.Exit(NOT_FOUND)
    record: bytes | None = rows[0]["record"]
    if raw:
        sys.stdout.buffer.write(record or b"")
        return
    for row in rows:
        table = Table("", "", title=f"{place}, generation {row['generation']}", title_justify="left", show_header=False)
        for name in ("state", "step", "reason", "detail", "attempts", "failed_at", "tried_at", "log_time"):
            value = row[name]
            table.add_row(name, f"{value:%F %T.%f}" if isinstance(value, datetime) else str(value))
        console.print(table, markup=False)
    for name, value in (("key", rows[0]["record_key"]), ("record", record)):
        console.print(f"{name}: {_described(value)}", markup=False, highlight=False)


@dead_letters.command("requeue")
def requeue(
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offsets: OffsetsOption = None,
    step: StepOption = None,
    reason: ReasonOption = None,
    state: StateOption = None,
    project: ProjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    generation: GenerationOption = None,
    limit: LimitOption = 100,
    everything: AllOption = False,
) -> None:
    """Let the workers try dead letters again: without --state those that are open."""
    states = _states(state or ["open"], ("open", "drop"))
    which = _filter(topic, partition, offsets, step, reason, states, since, until, generation)
    _want("requeue", which, project, None if everything else limit)


@dead_letters.command("drop")
def drop(
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offsets: OffsetsOption = None,
    step: StepOption = None,
    reason: ReasonOption = None,
    state: StateOption = None,
    project: ProjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    generation: GenerationOption = None,
    limit: LimitOption = 100,
    everything: AllOption = False,
) -> None:
    """Decide that records shall never be events, in any generation: without --state those that are open or requeued.

    Their bytes stay until retention removes them; until then `requeue --state drop` takes the decision back.
    """
    states = _states(state or ["open", "requeue"], ("open", "requeue"))
    which = _filter(topic, partition, offsets, step, reason, states, since, until, generation)
    _want("drop", which, project, None if everything else limit)


def resume() -> None:
    """Let generations go on that a worker stopped because too many records became dead letters."""
    rows = run(resume_generations)
    if not rows:
        console.print("no generation is stopped", highlight=False)
    for row in rows:
        reasons = ", ".join(f"{count} {name}" for name, count in zip(row["reasons"], row["reason_counts"], strict=True))
        console.print(
            f"generation {row['generation']} goes on. It was stopped at {row['stopped_at']:%F %T} UTC, because of the "
            f"last {row['seen_count']} records of {row['topic']} these failed: {reasons}",
            markup=False,
            highlight=False,
        )


def _want(state: str, which: Filter, project: str | None, records_max: int | None) -> None:
    async def change(connection: asyncpg.Connection) -> Wanted:
        return await set_wanted_state(connection, await _of_project(connection, which, project), state, records_max)

    wanted = run(change)
    rest = "" if wanted.taken == wanted.matched else f" (the first {wanted.taken}: --limit or --all for more)"
    console.print(f"{wanted.matched} matched, {wanted.changed} set to {state}{rest}", highlight=False)


def _filter(
    topic: str | None,
    partition: int | None,
    offsets: str | None,
    step: str | None,
    reason: str | None,
    states: tuple[str, ...] | None,
    since: datetime | None,
    until: datetime | None,
    generation: int | None,
) -> Filter:
    """What was typed; the project is looked up later."""
    first, last = _offsets(offsets)
    return Filter(topic, partition, first, last, step, reason, states, None, _utc(since), _utc(until), generation)


async def _of_project(connection: asyncpg.Connection, which: Filter, project: str | None) -> Filter:
    if project is None:
        return which
    return replace(which, project_id=str((await find_project(connection, project)).project_id))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _states(given: list[str] | None, allowed: tuple[str, ...]) -> tuple[str, ...] | None:
    if given is None:
        return None
    if wrong := [state for state in given if state not in allowed]:
        complain(f"--state {wrong[0]}: give one of {', '.join(allowed)}")
        raise typer.Exit(BAD_INPUT)
    return tuple(given)


def _offsets(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        complain(f"--offsets {text}: give one offset, or the first and the last as in 10-20")
        raise typer.Exit(BAD_INPUT)
    return int(first), int(last) if dash else int(first)


def _place(text: str) -> tuple[str, int, int]:
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        complain(f"{text}: give TOPIC/PARTITION/OFFSET as `list` prints it")
        raise typer.Exit(BAD_INPUT)
    return topic, int(partition), int(offset)


def _described(value: bytes | None) -> str:
    """The bytes as text if they are UTF-8 that a terminal shows, else in hexadecimal digits."""
    if value is None:
        return "none"
    shown = value[:SHOWN_BYTES_MAX]
    rest = f"\n… {len(value) - len(shown):,} bytes more: --raw gives all" if len(value) > len(shown) else ""
    try:
        text = shown.decode("utf-8", "strict" if not rest else "ignore")
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or (value and not text):
        text = shown.hex(" ", 4)
    return f"{len(value):,} bytes\n{text}{rest}"
