"""The roll-ups computed anew from the stored requests by plain GROUP BYs, written independently of the folds.

`assert_rollups_exact` compares every column of every row of `sessions` and `session_paths` with it.
"""

import asyncpg

SUMS = (
    "count(*) FILTER (WHERE {r}) AS request_count, count(*) FILTER (WHERE {r} AND is_error) AS error_count, "
    "coalesce(sum(latency_us) FILTER (WHERE {r}), 0)::bigint AS latency_us_sum, "
    + "".join(
        f"coalesce(sum({name}) FILTER (WHERE counts_usage), 0)::bigint AS {name}, "
        for name in (
            *("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
            *("prompt_audio_tokens", "completion_audio_tokens", "cost_nanousd"),
        )
    )
).format(r="is_request")

EVENTS = """
    SELECT *, (extract(epoch FROM ended_at - started_at) * 1000000)::bigint AS latency_us,
        kind NOT IN ('span', 'session_end') AS is_request,
        kind NOT IN ('span', 'session_end') OR (kind = 'span' AND source = 'otlp') AS counts_usage
    FROM requests WHERE session_key IS NOT NULL
"""

SESSIONS = f"""
    WITH e AS ({EVENTS})
    SELECT project_id, session_key, min(session_id) AS session_id,
        (array_agg(session_name ORDER BY started_at, event_id) FILTER (WHERE session_name IS NOT NULL))[1] AS name,
        min(started_at) FILTER (WHERE session_name IS NOT NULL) AS name_started_at,
        (array_agg(event_id ORDER BY started_at, event_id) FILTER (WHERE session_name IS NOT NULL))[1] AS name_event_id,
        count(*) AS event_count, min(started_at) AS first_event_at, max(ended_at) AS last_event_end_at,
        max(received_at) AS last_received_at, {SUMS}
        min(started_at) FILTER (WHERE is_request) AS first_request_at,
        max(started_at) FILTER (WHERE is_request) AS last_request_at,
        max(ended_at) FILTER (WHERE is_request) AS last_request_end_at,
        coalesce(sum(time_to_first_token_us) FILTER (WHERE is_request), 0)::bigint AS time_to_first_token_us_sum,
        count(time_to_first_token_us) FILTER (WHERE is_request) AS time_to_first_token_count,
        count(*) FILTER (WHERE is_request AND cost_nanousd IS NULL) AS unpriced_count,
        (coalesce(array_agg(DISTINCT user_id COLLATE "C") FILTER (WHERE is_request AND user_id <> ''), '{{}}'))[1:16]
            AS user_ids,
        count(DISTINCT user_id) FILTER (WHERE is_request AND user_id <> '') > 16 AS user_ids_more,
        (array_agg(event_id ORDER BY ended_at DESC, event_id DESC))[1] AS last_end_event_id,
        (array_agg(is_error ORDER BY ended_at DESC, event_id DESC))[1] AS last_is_error,
        max(started_at) FILTER (WHERE kind = 'session_end') AS ended_at
    FROM e GROUP BY project_id, session_key
"""

PATHS = f"""
    WITH e AS ({EVENTS})
    SELECT project_id, session_key, path_key, {SUMS}
        min(latency_us) FILTER (WHERE is_request) AS latency_us_min,
        max(latency_us) FILTER (WHERE is_request) AS latency_us_max,
        count(*) FILTER (WHERE kind = 'span') AS span_count,
        coalesce(sum(latency_us) FILTER (WHERE kind = 'span'), 0)::bigint AS span_latency_us_sum,
        min(started_at) AS first_at, max(ended_at) AS last_end_at
    FROM e WHERE kind <> 'session_end' AND path_key IS NOT NULL GROUP BY project_id, session_key, path_key
"""


async def differences(connection: asyncpg.Connection, table: str, expected: str) -> list[str]:
    """Rows of `table` that differ from the recomputation, either way round, over the columns that both have."""
    statement = await connection.prepare(expected)
    columns = ", ".join(attribute.name for attribute in statement.get_attributes())
    rows = await connection.fetch(f"""
        WITH stored AS (SELECT {columns} FROM {table}), recomputed AS ({expected})
        SELECT 'stored only' AS side, d::text FROM (SELECT * FROM stored EXCEPT SELECT * FROM recomputed) AS d
        UNION ALL
        SELECT 'recomputed only', d::text FROM (SELECT * FROM recomputed EXCEPT SELECT * FROM stored) AS d
    """)
    return [f"{row['side']}: {row['d']}" for row in rows]


async def assert_rollups_exact(dsn: str) -> None:
    """Fail unless every roll-up row equals its recomputation from the stored requests, and none is missing.

    A span whose path is provisional has no `path_key` yet, and is in its session's row only.
    """
    connection = await asyncpg.connect(dsn)
    try:
        for table, expected in (("sessions", SESSIONS), ("session_paths", PATHS)):
            found = await differences(connection, table, expected)
            assert not found, f"{table}: {len(found)} rows differ\n" + "\n".join(found[:10])
    finally:
        await connection.close()
