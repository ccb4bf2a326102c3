-- Note what a join changed about spans that are remembered. Parameters: parallel arrays, one entry a span.
-- Index: trace_spans_pk. Running it twice changes nothing.
UPDATE trace_spans AS t
SET is_open = k.is_open,
    waits_for = k.waits_for,
    has_session = k.has_session,
    has_name = k.has_name,
    has_user = k.has_user,
    has_path = k.has_path,
    usage_counted_by = k.usage_counted_by,
    counted_by_distance = k.counted_by_distance,
    counted_by_offset = k.counted_by_offset
FROM unnest(
    $1::integer[], $2::uuid[], $3::text[], $4::boolean[], $5::text[], $6::boolean[], $7::boolean[], $8::boolean[],
    $9::boolean[], $10::text[], $11::integer[], $12::bigint[]
) AS k (
    project_id, trace_id, span_id, is_open, waits_for, has_session, has_name, has_user,
    has_path, usage_counted_by, counted_by_distance, counted_by_offset
)
WHERE t.project_id = k.project_id AND t.trace_id = k.trace_id AND t.span_id = k.span_id
