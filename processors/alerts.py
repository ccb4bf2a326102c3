"""What fires alerts: rules over the rows of sessions, looked at in the transaction that changed the rows.

Whether a rule fires is decided by the session's row after the fold and by nothing else, and the table has room for one
alert a session and rule: no order, copy or batching of events fires one twice. Only the worker of the served generation
has rules; whoever builds another one is given `NO_RULES`, and fires nothing.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
import structlog

from infra.alert_rules import AlertRule, ErrorShareAbove, SessionFailed, threshold_of
from infra.postgres import load_sql
from infra.project_settings import InvalidSettings
from infra.projects import stored_settings
from processors.rollup import Columns

log = structlog.get_logger()

REFRESH_SECONDS = 5.0
"""How long a changed rule may go on as it was."""

Connection = asyncpg.pool.PoolConnectionProxy
SessionKey = tuple[int, UUID]
"""Project and session key."""


class ProjectRules(msgspec.Struct, frozen=True):
    """The current rules of a project that has any."""

    rules: tuple[AlertRule, ...]
    idle_limit_seconds: int


class AlertRules:
    """The rules of all projects, as the database had them REFRESH_SECONDS ago at most."""

    def __init__(self, pool: asyncpg.Pool | None) -> None:
        """Without a pool there are none, ever."""
        self._pool = pool
        self._read_at = float("-inf")
        self.by_project: Mapping[int, ProjectRules] = {}

    async def refresh(self) -> None:
        """Read the rules anew when it is time. A project whose settings cannot be read has none until they can be.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the database is away.
        """
        now = asyncio.get_running_loop().time()
        if self._pool is None or now < self._read_at + REFRESH_SECONDS:
            return
        found = {}
        for row in await self._pool.fetch(load_sql("processors", "load_alert_rules")):
            try:
                settings = stored_settings(row["settings"])
            except InvalidSettings as fault:
                # Newer code wrote them. Events must go on: an alert that is late is better than none of anything.
                log.error("alert_rules_not_readable", project_id=row["project_id"], fault=str(fault))
                continue
            if settings.alerts:
                found[row["project_id"]] = ProjectRules(settings.alerts, settings.idle_limit_seconds)
        self.by_project, self._read_at = found, now

    async def fire(self, connection: Connection, *folds: dict[str, Columns]) -> None:
        """Look at the sessions that folds were added to: insert what fires, and note who fails if it goes idle."""
        if not self.by_project:
            return
        columns = [fold["fold_sessions"] for fold in folds if fold["fold_sessions"]]
        touched = {key for one in columns for key in zip(one[0], one[1], strict=True) if key[0] in self.by_project}
        if not touched:
            return
        keys = sorted(touched)
        await insert_alerts(connection, keys, {project_id: self.by_project[project_id] for project_id, _ in keys})
        if watched := [key for key in keys if watches_failure(self.by_project[key[0]])]:
            limits = [self.by_project[project_id].idle_limit_seconds for project_id, _ in watched]
            await connection.execute(load_sql("processors", "watch_failures"), *columns_of(watched), limits)


NO_RULES = AlertRules(None)
"""Of a generation that is not served."""


def watches_failure(project: ProjectRules) -> bool:
    """Whether a session of the project that fails by idleness is of interest."""
    return any(isinstance(rule, SessionFailed) for rule in project.rules)


async def insert_alerts(
    connection: Connection,
    keys: Sequence[SessionKey],
    projects: Mapping[int, ProjectRules],
    idle_as_of: datetime | None = None,
) -> None:
    """Insert the alerts of sessions whose rows break a rule, where there is none yet.

    `keys` are sorted. With `idle_as_of`, up to which everything that was received is folded, a session whose latest
    event is an error has failed once the project's idle limit has passed by then.
    """
    rules = [
        (
            *(project_id, rule.name, rule.__struct_config__.tag, threshold_of(rule)),
            *(requests_min_of(rule), own.idle_limit_seconds),
        )
        for project_id, own in projects.items()
        for rule in own.rules
    ]
    columns = [list(column) for column in zip(*rules, strict=True)]
    await connection.execute(load_sql("processors", "insert_alerts"), *columns_of(keys), *columns, idle_as_of)


def requests_min_of(rule: AlertRule) -> int:
    """How many requests a session must have before the rule is looked at."""
    return rule.requests_min if isinstance(rule, ErrorShareAbove) else 0


def columns_of(keys: Iterable[SessionKey]) -> tuple[list[int], list[UUID]]:
    """Keys as two parallel arrays."""
    keys = list(keys)
    return [project_id for project_id, _ in keys], [session_key for _, session_key in keys]
