-- Remember spans, or what a join changed about them. Parameters: parallel arrays, one entry a span, each span at most
-- once. Index: trace_spans_pk. Running it twice changes nothing.
INSERT INTO trace_spans (
    project_id, trace_id, span_id, parent_span_id, partition, "offset", log_time, closes_at,
    started_at, ended_at, content_hash, day, event_id, session_id, session_name, user_id,
    explicit_path, segment, reports_usage, trace_as_session, is_open, waits_for, has_session,
    has_name, has_user, has_path, usage_counted_by, counted_by_distance, counted_by_offset
)
SELECT
    k.project_id, k.trace_id, k.span_id, k.parent_span_id, k.partition, k."offset", k.log_time, k.closes_at,
    k.started_at, k.ended_at, k.content_hash, k.day, k.event_id, k.session_id, k.session_name, k.user_id,
    k.explicit_path, k.segment, k.reports_usage, k.trace_as_session, k.is_open, k.waits_for, k.has_session,
    k.has_name, k.has_user, k.has_path, k.usage_counted_by, k.counted_by_distance, k.counted_by_offset
FROM unnest(
    $1::integer[], $2::uuid[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::timestamptz[], $8::timestamptz[],
    $9::timestamptz[], $10::timestamptz[], $11::uuid[], $12::date[], $13::uuid[], $14::text[], $15::text[], $16::text[],
    $17::text[], $18::text[], $19::boolean[], $20::boolean[], $21::boolean[], $22::text[], $23::boolean[],
    $24::boolean[], $25::boolean[], $26::boolean[], $27::text[], $28::integer[], $29::bigint[]
) AS k (
    project_id, trace_id, span_id, parent_span_id, partition, "offset", log_time, closes_at,
    started_at, ended_at, content_hash, day, event_id, session_id, session_name, user_id,
    explicit_path, segment, reports_usage, trace_as_session, is_open, waits_for, has_session,
    has_name, has_user, has_path, usage_counted_by, counted_by_distance, counted_by_offset
)
ON CONFLICT ON CONSTRAINT trace_spans_pk DO UPDATE SET
    is_open = excluded.is_open,
    waits_for = excluded.waits_for,
    has_session = excluded.has_session,
    has_name = excluded.has_name,
    has_user = excluded.has_user,
    has_path = excluded.has_path,
    usage_counted_by = excluded.usage_counted_by,
    counted_by_distance = excluded.counted_by_distance,
    counted_by_offset = excluded.counted_by_offset
