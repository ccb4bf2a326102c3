-- Forget spans of partitions whose windows closed before a time, unless a span of their trace waits still.
-- Parameters: partitions, the times, rows at most (parallel arrays). Index: trace_spans_by_window, trace_spans_pk.
DELETE FROM trace_spans AS t
USING unnest($1::integer[], $2::timestamptz[], $3::integer[]) AS k (partition, closed_before, rows_max)
CROSS JOIN LATERAL (
    SELECT o.project_id, o.trace_id, o.span_id
    FROM trace_spans AS o
    WHERE o.partition = k.partition AND o.closes_at < k.closed_before
        AND NOT EXISTS (
            SELECT FROM trace_spans AS w WHERE w.project_id = o.project_id AND w.trace_id = o.trace_id AND w.is_open
        )
    ORDER BY o.closes_at
    LIMIT k.rows_max
) AS f
WHERE t.project_id = f.project_id AND t.trace_id = f.trace_id AND t.span_id = f.span_id
