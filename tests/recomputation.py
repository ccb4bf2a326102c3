"""The roll-ups computed anew from the stored requests by plain GROUP BYs, written independently of the folds.

`assert_rollups_exact` compares every column of every row of the roll-ups with it; those that are split by partition are
summed. The edges of the histograms' buckets are multiplied out here once more.
"""

import asyncpg

KINDS = ("llm", "tool", "vector_db", "data", "span")

STARTS = """
    WITH RECURSIVE bucket (start) AS (
        SELECT 0::bigint UNION ALL
        SELECT greatest(start + 1, start * 102 / 100) FROM bucket WHERE start < 1000000000000000
    )
    SELECT array_agg(start ORDER BY start) FROM bucket
"""
"""Up to thirty years: longer than anything that the tests make."""

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

EVENTS = f"""
    SELECT *, (extract(epoch FROM ended_at - started_at) * 1000000)::bigint AS latency_us,
        kind NOT IN ('span', 'session_end') AS is_request,
        kind NOT IN ('span', 'session_end') OR (kind = 'span' AND source = 'otlp') AS counts_usage,
        width_bucket((extract(epoch FROM ended_at - started_at) * 1000000)::bigint, ({STARTS})) - 1 AS bucket,
        '/' || array_to_string(array_remove(string_to_array(coalesce(session_path, ''), '/'), ''), '/') AS path,
        date_trunc('hour', started_at, 'UTC') AS hour, coalesce(requests.session_name, '') AS carried_name
    FROM requests WHERE session_key IS NOT NULL
"""


def histograms(key: str, where: str = "is_request") -> str:
    """The histogram of each group of requests that has any, from the events `e`."""
    return f"""(
        SELECT {key}, array_agg(bucket::bigint << 32 | requests ORDER BY bucket) AS latency_histogram
        FROM (SELECT {key}, bucket, count(*) AS requests FROM e WHERE {where} GROUP BY {key}, bucket) AS counted
        GROUP BY {key}
    )"""


def bounded(name: str, member: str) -> str:
    """A bounded set of a session's requests, and its mark."""
    members = f"array_agg(DISTINCT {member} COLLATE \"C\") FILTER (WHERE is_request AND {member} <> '')"
    return f"(coalesce({members}, '{{}}'))[1:16] AS {name}, coalesce(cardinality({members}) > 16, false) AS {name}_more"


def of_last_error(value: str) -> str:
    """What the error with the greatest (end, id) has."""
    return f"(array_agg({value} ORDER BY ended_at DESC, event_id DESC) FILTER (WHERE is_error))[1]"


SESSIONS = f"""
    WITH e AS ({EVENTS}), properties AS (
        SELECT project_id, session_key, {bounded("properties", "member")}
        FROM (
            SELECT e.*, '[' || to_json(p.name)::text || ',' || to_json(p.value)::text || ']' AS member
            FROM e CROSS JOIN LATERAL jsonb_each_text(properties) AS p (name, value) WHERE p.name NOT LIKE 'pathline.%'
        ) AS m GROUP BY project_id, session_key
    ), sessions AS (
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
        {", ".join(f"count(*) FILTER (WHERE kind = '{k}') AS {k}_count" for k in KINDS)},
        {bounded("user_ids", "user_id")}, {bounded("models", "model")}, {bounded("providers", "provider")},
        (array_agg(event_id ORDER BY ended_at DESC, event_id DESC))[1] AS last_end_event_id,
        (array_agg(is_error ORDER BY ended_at DESC, event_id DESC))[1] AS last_is_error,
        {of_last_error("ended_at")} AS last_error_at, {of_last_error("event_id")} AS last_error_event_id,
        {of_last_error("error_type")} AS last_error_type,
        {of_last_error("left(error_message, 500)")} AS last_error_message,
        {of_last_error("path")} AS last_error_path,
        max(started_at) FILTER (WHERE kind = 'session_end') AS ended_at
    FROM e GROUP BY project_id, session_key
    )
    SELECT s.*, coalesce(p.properties, '{{}}') AS properties, coalesce(p.properties_more, false) AS properties_more,
        coalesce(h.latency_histogram, '{{}}') AS latency_histogram
    FROM sessions AS s LEFT JOIN properties AS p USING (project_id, session_key)
    LEFT JOIN {histograms("project_id, session_key")} AS h USING (project_id, session_key)
"""


def paths(key: str) -> str:
    """Roll-ups of paths by `key`. Those of sessions have times beside what they share with those of hours."""
    times = ", min(started_at) AS first_at, max(ended_at) AS last_end_at" if "session_key" in key else ""
    counted = "kind <> 'session_end' AND path_key IS NOT NULL"
    return f"""
    WITH e AS ({EVENTS}), paths AS (
        SELECT {key}, {SUMS}
            min(latency_us) FILTER (WHERE is_request) AS latency_us_min,
            max(latency_us) FILTER (WHERE is_request) AS latency_us_max,
            count(*) FILTER (WHERE kind = 'span') AS span_count,
            coalesce(sum(latency_us) FILTER (WHERE kind = 'span'), 0)::bigint AS span_latency_us_sum {times}
        FROM e WHERE {counted} GROUP BY {key}
    )
    SELECT p.*, coalesce(h.latency_histogram, '{{}}') AS latency_histogram
    FROM paths AS p LEFT JOIN {histograms(key, f"is_request AND {counted}")} AS h USING ({key})
"""


PATHS = paths("project_id, session_key, path_key")
HOURS = paths("project_id, hour, carried_name, path")
HOURS_SUMMED = """(
    SELECT project_id, hour, session_name AS carried_name, path,
        {sums}, min(latency_us_min) AS latency_us_min, max(latency_us_max) AS latency_us_max,
        ARRAY(
            SELECT (element >> 32 << 32) + sum(element & 4294967295)::bigint
            FROM path_hours AS o CROSS JOIN LATERAL unnest(o.latency_histogram) AS u (element)
            WHERE (o.project_id, o.hour, o.session_name, o.path) = (g.project_id, g.hour, g.session_name, g.path)
            GROUP BY element >> 32 ORDER BY element >> 32
        ) AS latency_histogram
    FROM path_hours AS g GROUP BY project_id, hour, session_name, path
) AS summed""".format(
    sums=", ".join(
        f"sum({name})::bigint AS {name}"
        for name in (
            *("request_count", "error_count", "latency_us_sum", "span_count", "span_latency_us_sum", "prompt_tokens"),
            *("completion_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
            *("prompt_audio_tokens", "completion_audio_tokens", "cost_nanousd"),
        )
    )
)
USES = """
    WITH named AS (
        SELECT project_id, 'session_name' AS kind, '' AS name, session_name AS value, started_at FROM requests
        WHERE session_name <> ''
        UNION ALL SELECT project_id, 'user', '', user_id, started_at FROM requests
        WHERE user_id <> '' AND kind NOT IN ('span', 'session_end')
        UNION ALL SELECT r.project_id, 'property', p.name, p.value, r.started_at
        FROM requests AS r CROSS JOIN LATERAL jsonb_each_text(r.properties) AS p (name, value)
        WHERE r.kind NOT IN ('span', 'session_end') AND p.name NOT LIKE 'pathline.%'
    )
    SELECT project_id, kind, name, CASE WHEN length(value) > 200 THEN '' ELSE value END AS value,
        count(*) AS use_count, min(started_at) AS first_used_at, max(started_at) AS last_used_at
    FROM named GROUP BY 1, 2, 3, 4
"""
USES_SUMMED = """(
    SELECT project_id, kind, name, value, sum(use_count)::bigint AS use_count, min(first_used_at) AS first_used_at,
        max(last_used_at) AS last_used_at
    FROM catalogue GROUP BY project_id, kind, name, value
) AS summed"""

ROLL_UPS = (("sessions", SESSIONS), ("session_paths", PATHS), (HOURS_SUMMED, HOURS), (USES_SUMMED, USES))


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
        for table, expected in ROLL_UPS:
            found = await differences(connection, table, expected)
            assert not found, f"{table}: {len(found)} rows differ\n" + "\n".join(found[:10])
    finally:
        await connection.close()
