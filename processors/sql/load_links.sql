-- What a batch of spans is joined with: those of its spans that are remembered already, the spans that wait for one of
-- them, and the ancestors of both. Rows: at most $6 that wait, and $5 ancestors for each span of either.
-- Parameters: projects, trace ids, span ids, parents' ids or null (parallel arrays, one entry a span); ancestors at most;
-- waiting spans at most.
-- Index: trace_spans_pk, trace_spans_by_missing_ancestor.
WITH RECURSIVE arrived AS (
    SELECT k.project_id, k.trace_id, k.span_id, k.parent_span_id
    FROM unnest($1::integer[], $2::uuid[], $3::text[], $4::text[]) AS k (project_id, trace_id, span_id, parent_span_id)
),
waiting AS (
    SELECT t.project_id, t.trace_id, t.span_id, t.parent_span_id
    FROM arrived AS a
    JOIN trace_spans AS t
        ON t.project_id = a.project_id AND t.trace_id = a.trace_id AND t.waits_for = a.span_id
    LIMIT $6
),
ancestors (project_id, trace_id, span_id, distance) AS (
    (
        SELECT a.project_id, a.trace_id, a.parent_span_id, 1 FROM arrived AS a WHERE a.parent_span_id IS NOT NULL
        UNION
        SELECT w.project_id, w.trace_id, w.parent_span_id, 1 FROM waiting AS w WHERE w.parent_span_id IS NOT NULL
    )
    UNION
    SELECT t.project_id, t.trace_id, t.parent_span_id, c.distance + 1
    FROM ancestors AS c
    JOIN trace_spans AS t ON t.project_id = c.project_id AND t.trace_id = c.trace_id AND t.span_id = c.span_id
    WHERE t.parent_span_id IS NOT NULL AND c.distance < $5
),
wanted AS (
    SELECT k.project_id, k.trace_id, k.span_id, bool_or(k.is_waiting) AS is_waiting
    FROM (
        SELECT a.project_id, a.trace_id, a.span_id, false AS is_waiting FROM arrived AS a
        UNION ALL
        SELECT w.project_id, w.trace_id, w.span_id, true FROM waiting AS w
        UNION ALL
        SELECT c.project_id, c.trace_id, c.span_id, false FROM ancestors AS c
    ) AS k
    GROUP BY k.project_id, k.trace_id, k.span_id
)
SELECT
    w.is_waiting,
    t.project_id, t.trace_id, t.span_id, t.parent_span_id, t.partition, t."offset", t.log_time, t.closes_at,
    t.started_at, t.ended_at, t.content_hash, t.day, t.event_id, t.session_id, t.session_name, t.user_id,
    t.explicit_path, t.segment, t.reports_usage, t.trace_as_session, t.is_open, t.waits_for, t.has_session,
    t.has_name, t.has_user, t.has_path, t.usage_counted_by, t.counted_by_distance, t.counted_by_offset
FROM wanted AS w
JOIN trace_spans AS t ON t.project_id = w.project_id AND t.trace_id = w.trace_id AND t.span_id = w.span_id
