-- Forget spans of a partition whose windows closed before a time, unless a span of their trace waits still.
-- Parameters: partition, the time, rows at most. Index: trace_spans_by_window, trace_spans_pk.
DELETE FROM trace_spans AS t
USING (
    SELECT o.project_id, o.trace_id, o.span_id
    FROM trace_spans AS o
    WHERE o.partition = $1 AND o.closes_at < $2
        AND NOT EXISTS (
            SELECT FROM trace_spans AS w WHERE w.project_id = o.project_id AND w.trace_id = o.trace_id AND w.is_open
        )
    ORDER BY o.closes_at
    LIMIT $3
) AS k
WHERE t.project_id = k.project_id AND t.trace_id = k.trace_id AND t.span_id = k.span_id
