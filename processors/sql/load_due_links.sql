-- The spans of a partition whose windows have closed and who wait still, the first to close first.
-- Parameters: partition, the broker time read up to, rows at most. Index: trace_spans_by_closing.
SELECT
    t.project_id, t.trace_id, t.span_id, t.parent_span_id, t.partition, t."offset", t.log_time, t.closes_at,
    t.started_at, t.ended_at, t.content_hash, t.day, t.event_id, t.session_id, t.session_name, t.user_id,
    t.explicit_path, t.segment, t.reports_usage, t.trace_as_session, t.is_open, t.waits_for, t.has_session,
    t.has_name, t.has_user, t.has_path, t.usage_counted_by, t.counted_by_distance, t.counted_by_offset
FROM trace_spans AS t
WHERE t.partition = $1 AND t.is_open AND t.closes_at < $2
ORDER BY t.closes_at
LIMIT $3
