"""Alerts of sessions that failed by going idle: nothing arrives for those, so the leader looks.

The workers note each session whose latest event is an error, with the time at which it has failed if nothing more
comes (`failure_watches`), for projects with a rule for failed sessions. What is due is decided by the session's row.
"""

from datetime import datetime

import asyncpg

from infra.postgres import load_sql
from processors.alerts import AlertRules, Connection, columns_of, insert_alerts, watches_failure

WATCHES_PER_STEP_MAX = 500
STEPS_PER_RUN_MAX = 200


async def fire_idle_failures(pool: asyncpg.Pool) -> None:
    """Decide about the sessions that are due, in bounded steps; what is left undone the next run does.

    The time is the one up to which every partition is folded: while a worker lags or a partition is stopped, a session
    whose next events wait in the log is not taken for idle.
    """
    as_of: datetime | None = await pool.fetchval(load_sql("processors", "read_as_of"))
    if as_of is None:
        return
    rules = AlertRules(pool)
    await rules.refresh()
    for _ in range(STEPS_PER_RUN_MAX):
        async with pool.acquire() as connection, connection.transaction():
            if await _decide(connection, rules, as_of) < WATCHES_PER_STEP_MAX:
                break


async def _decide(connection: Connection, rules: AlertRules, as_of: datetime) -> int:
    """Fire, put off or forget; how many sessions were due.

    The watches are locked before the rows are read. A worker that makes an error a session's latest event, and has not
    committed yet, holds the watch, which is skipped, or waits for it, and notes it anew.
    """
    due = await connection.fetch(load_sql("processors", "lock_due_watches"), as_of, WATCHES_PER_STEP_MAX)
    keys = sorted((row["project_id"], row["session_key"]) for row in due)
    projects = {
        project_id: own
        for project_id in {project_id for project_id, _ in keys}
        if (own := rules.by_project.get(project_id)) is not None and watches_failure(own)
    }
    if projects:
        await insert_alerts(connection, keys, projects, as_of)
        limits = [own.idle_limit_seconds for own in projects.values()]
        await connection.execute(
            load_sql("processors", "put_off_watches"), *columns_of(keys), list(projects), limits, as_of
        )
    await connection.execute(load_sql("processors", "forget_watches"), *columns_of(keys), as_of)
    return len(keys)
