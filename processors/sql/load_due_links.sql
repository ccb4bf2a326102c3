-- The spans of partitions whose windows have closed and that wait still, the first to close first. Not those for whom the
-- awaited span has come and that are only not joined with it yet.
-- Parameters: partitions, the broker times read up to (parallel arrays), rows of a partition at most.
-- Index: trace_spans_by_closing.
SELECT
    t.project_id, t.trace_id, t.span_id, t.parent_span_id, t.partition, t."offset", t.log_time, t.closes_at,
    t.started_at, t.ended_at, t.content_hash, t.day, t.event_id, t.session_id, t.session_name, t.user_id,
    t.explicit_path, t.segment, t.reports_usage, t.trace_as_session, t.is_open, t.waits_for, t.has_session,
    t.has_name, t.has_user, t.has_path, t.usage_counted_by, t.counted_by_distance, t.counted_by_offset
FROM unnest($1::integer[], $2::timestamptz[]) AS k (partition, read_to)
CROSS JOIN LATERAL (
    SELECT
        s.project_id, s.trace_id, s.span_id, s.parent_span_id, s.partition, s."offset", s.log_time, s.closes_at,
        s.started_at, s.ended_at, s.content_hash, s.day, s.event_id, s.session_id, s.session_name, s.user_id,
        s.explicit_path, s.segment, s.reports_usage, s.trace_as_session, s.is_open, s.waits_for, s.has_session,
        s.has_name, s.has_user, s.has_path, s.usage_counted_by, s.counted_by_distance, s.counted_by_offset
    FROM trace_spans AS s
    WHERE s.partition = k.partition AND s.is_open AND s.closes_at < k.read_to
        AND NOT EXISTS (
            SELECT FROM trace_spans AS a
            WHERE a.project_id = s.project_id AND a.trace_id = s.trace_id AND a.span_id = s.waits_for AND a.has_waiting
        )
    ORDER BY s.closes_at
    LIMIT $3
) AS t
