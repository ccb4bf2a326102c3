"""`python -m infra projects …` and `python -m infra keys …`."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import msgspec
import typer
from rich.table import Table

from infra.console import BAD_INPUT, complain, console, one_line_errors
from infra.key_admin import HASH_DIGITS_SHOWN, Permissions, find_key, import_keys, rotate_key
from infra.postgres import CONNECT_TIMEOUT_SECONDS
from infra.project_settings import DEFAULTS, InvalidSettings, ProjectSettings, parse_settings
from infra.projects import (
    KeyRecord,
    change_settings,
    create_key,
    ensure_project,
    find_project,
    list_keys,
    list_projects,
    revoke_key,
)
from infra.settings import PostgresSettings

projects = typer.Typer(no_args_is_help=True, help="Projects and their settings.")
keys = typer.Typer(no_args_is_help=True, help="API keys of a project.")

Answer = TypeVar("Answer")

NAME = re.compile(r"[^\s\x00-\x1f](?:[^\x00-\x1f]{0,254}[^\s\x00-\x1f])?")
GRACE_SECONDS_DEFAULT = 24 * 3600
_SECONDS = "a whole number of seconds from 1 to 604800"
_REMEDIES = {
    "idle_limit_seconds": _SECONDS,
    "join_window_seconds": _SECONDS,
    "retention_days": "a whole number of days from 1 to 36500, or none",
    "session_retention_days": "a whole number of days from 1 to 36500, or none",
    "events_per_second_max": "a whole number from 1, or none",
    "masking": 'an array of rules, each with exactly one of "key", "pattern" and "builtin"',
    "mappings": 'an array of objects with "field", "attribute" and perhaps "scope"',
    "alerts": 'an array of rules, each with "name" and "kind": "session_failed", "cost_above" with "usd", '
    '"duration_above" with "seconds", or "error_share_above" with "share" and "requests_min"',
    "webhook": 'an object with "url" and "secret" (16 to 256 characters), or none',
}
"""What a setting may be, for whoever gave something else."""

ProjectOption = Annotated[str, typer.Option("--project", help="Name of the project.")]
ReadOption = Annotated[bool, typer.Option("--read", help="May read. Without --read and --write: both.")]
WriteOption = Annotated[bool, typer.Option("--write", help="May log.")]
WantedKey = Annotated[str, typer.Argument(metavar="KEY", help="Its name, or the beginning of its hash in `keys list`.")]
GivenKeys = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY]...", help="Without any: one a line from standard input.")
]
Seconds = Annotated[str | None, typer.Option(metavar="N")]
Limit = Annotated[str | None, typer.Option(metavar="N|none")]
Flag = Annotated[bool | None, typer.Option()]
Array = Annotated[str | None, typer.Option(metavar="FILE|JSON")]


@projects.command("create")
def create_project(name: str) -> None:
    """Make a project; a no-op when there is one of that name."""
    _check_name(name)

    async def create(connection: asyncpg.Connection) -> bool:
        exists = any(project.name == name for project in await list_projects(connection))
        await ensure_project(connection, name)
        return exists

    console.print(f"{name} {'exists already' if run(create) else 'created'}", markup=False, highlight=False)


@projects.command("list")
def show_projects() -> None:
    """List the projects with what they decided for themselves."""
    table = Table("name", "id", "keys", "made", "version", "settings that are not the default")
    for project in run(list_projects):
        changed = {name: value for name, value in _shown(project.settings).items() if value != _DEFAULTS_SHOWN[name]}
        table.add_row(
            project.name,
            str(project.project_id),
            str(project.key_count),
            f"{project.created_at:%F %T}",
            str(project.settings_version),
            ", ".join(f"{name} {value}" for name, value in changed.items()),
        )
    console.print(table, markup=False)


@projects.command("set")
def set_project(
    name: str,
    idle_limit_seconds: Seconds = None,
    join_window_seconds: Seconds = None,
    retention_days: Limit = None,
    session_retention_days: Limit = None,
    events_per_second_max: Limit = None,
    count_span_usage: Flag = None,
    trace_as_session: Flag = None,
    masking: Array = None,
    mappings: Array = None,
    alerts: Array = None,
    webhook: Array = None,
) -> None:
    """Change settings of a project, as a new version; without options, show them. `none` takes a limit away."""
    with one_line_errors():
        changes = {
            **_numbers(
                idle_limit_seconds=idle_limit_seconds,
                join_window_seconds=join_window_seconds,
                retention_days=retention_days,
                session_retention_days=session_retention_days,
                events_per_second_max=events_per_second_max,
            ),
            **({} if count_span_usage is None else {"otlp_count_span_usage": count_span_usage}),
            **({} if trace_as_session is None else {"otlp_trace_as_session": trace_as_session}),
            **({} if masking is None else {"masking": _array("masking", masking)}),
            **({} if mappings is None else {"mappings": _array("mappings", mappings)}),
            **({} if alerts is None else {"alerts": _array("alerts", alerts)}),
            **({} if webhook is None else {"webhook": None if webhook == "none" else _array("webhook", webhook)}),
        }
        for field, value in changes.items():
            _check(field, value)

    async def change(connection: asyncpg.Connection) -> tuple[int, ProjectSettings]:
        project = await find_project(connection, name)
        if changes:
            await change_settings(connection, project.project_id, changes)
            project = await find_project(connection, name)
        return project.settings_version, project.settings

    version, settings = run(change)
    table = Table("setting", "value", "", title=f"{name}, version {version}", title_justify="left")
    for field, value in _shown(settings).items():
        table.add_row(field, value, "default" if value == _DEFAULTS_SHOWN[field] else "")
    console.print(table, markup=False)


@keys.command("create")
def create(name: str, project: ProjectOption = "default", read: ReadOption = False, write: WriteOption = False) -> None:
    """Make a key and print it, once."""
    _check_name(name)
    may = _permissions(read=read, write=write) or Permissions(can_read=True, can_write=True)

    async def make(connection: asyncpg.Connection) -> str:
        owner = await find_project(connection, project)
        return await create_key(connection, owner.project_id, name, can_read=may.can_read, can_write=may.can_write)

    console.print(run(make), highlight=False)


@keys.command("list")
def show_keys(project: ProjectOption = "default") -> None:
    """List the keys of a project by what they may do; the keys themselves are nowhere."""

    async def read(connection: asyncpg.Connection) -> list[KeyRecord]:
        return await list_keys(connection, (await find_project(connection, project)).project_id)

    table = Table("name", "may", "made", "revoked", "hash")
    now = datetime.now(UTC)
    for key in run(read):
        may = ", ".join(word for word, granted in (("read", key.can_read), ("write", key.can_write)) if granted)
        at = key.revoked_at
        revoked = "" if at is None else f"{'works until ' if at > now else ''}{at:%F %T}"
        table.add_row(key.name, may, f"{key.created_at:%F %T}", revoked, key.key_hash[:HASH_DIGITS_SHOWN])
    console.print(table, markup=False)


@keys.command("revoke")
def revoke(key: WantedKey, project: ProjectOption = "default") -> None:
    """Stop a key; it is refused within seconds everywhere."""

    async def stop(connection: asyncpg.Connection) -> KeyRecord:
        owner = await find_project(connection, project)
        found = await find_key(connection, owner.project_id, key)
        await revoke_key(connection, owner.project_id, bytes.fromhex(found.key_hash))
        return found

    stopped = run(stop)
    console.print(f"{stopped.name} ({stopped.key_hash[:HASH_DIGITS_SHOWN]}) revoked", markup=False, highlight=False)


@keys.command("rotate")
def rotate(
    key: WantedKey,
    project: ProjectOption = "default",
    grace_seconds: Annotated[
        int, typer.Option(min=0, help="How long the old key goes on working; 0 when it has leaked.")
    ] = GRACE_SECONDS_DEFAULT,
) -> None:
    """Make a key with the name and permissions of an old one and print it, once; the old one stops later."""

    async def replace(connection: asyncpg.Connection) -> str:
        owner = await find_project(connection, project)
        old = await find_key(connection, owner.project_id, key)
        return await rotate_key(connection, owner.project_id, old, grace_seconds=grace_seconds)

    console.print(run(replace), highlight=False)


@keys.command("import")
def import_(
    given: GivenKeys = None,
    name: Annotated[str, typer.Option(help="What the keys are called here.")] = "imported",
    project: ProjectOption = "default",
    read: ReadOption = False,
    write: WriteOption = False,
) -> None:
    """Take keys that Helicone issued; only hashes are stored. Without permissions: sk reads and writes, pk writes."""
    _check_name(name)
    wanted = given or [line.strip() for line in sys.stdin if line.strip()]
    if not wanted:
        complain("no key was given: name them as arguments, or one a line on standard input")
        raise typer.Exit(BAD_INPUT)

    async def take(connection: asyncpg.Connection) -> int:
        owner = await find_project(connection, project)
        return await import_keys(connection, owner.project_id, name, wanted, _permissions(read=read, write=write))

    new = run(take)
    console.print(f"{new} imported, {len(wanted) - new} known already", highlight=False)


def run(work: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
    """What the work answers, given a connection of its own; faults that a person can remedy are one line each."""

    async def connected() -> Answer:
        connection = await asyncpg.connect(PostgresSettings().address(), timeout=CONNECT_TIMEOUT_SECONDS)
        try:
            return await work(connection)
        finally:
            await connection.close()

    with one_line_errors():
        return asyncio.run(connected())


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        complain("NAME: 1 to 256 characters, no control characters, no space at either end")
        raise typer.Exit(BAD_INPUT)


def _permissions(*, read: bool, write: bool) -> Permissions | None:
    return Permissions(can_read=read, can_write=write) if read or write else None


def _numbers(**texts: str | None) -> dict[str, Any]:
    """The given ones: `none` as None, digits as a number, anything else as it is, for `_check` to refuse."""
    return {
        field: None if text == "none" else int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text
        for field, text in texts.items()
        if text is not None
    }


def _array(field: str, text: str) -> Any:
    """The JSON value that was typed, or that the named file holds."""
    if not text.lstrip().startswith(("[", "{")):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as fault:
            raise InvalidSettings(f"--{field}: {fault}: give {_REMEDIES[field]}, or a file that holds it") from fault
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError as fault:
        raise InvalidSettings(f"--{field}: {fault}: give {_REMEDIES[field]}") from fault


def _check(field: str, value: Any) -> None:
    """Refuse a value by the name of its option and with what it may be."""
    try:
        parse_settings(msgspec.json.encode({field: value}))
    except InvalidSettings as fault:
        reason = str(fault).removeprefix("Invalid settings: ")
        raise InvalidSettings(f"--{field.replace('_', '-')}: {reason}: give {_REMEDIES[field]}") from fault


def _shown(settings: ProjectSettings) -> dict[str, str]:
    """Every setting as text, without the webhook's secret."""
    values = {field: getattr(settings, field) for field in settings.__struct_fields__}
    if settings.webhook is not None:
        values["webhook"] = {"url": settings.webhook.url, "secret": "not shown"}
    return {field: "none" if value is None else msgspec.json.encode(value).decode() for field, value in values.items()}


_DEFAULTS_SHOWN = _shown(DEFAULTS)
