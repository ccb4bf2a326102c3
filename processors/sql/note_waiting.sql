-- Note which of these spans, which have come, are still waited for. Parameters: projects, trace ids, span ids (parallel
-- arrays). Index: trace_spans_pk, trace_spans_by_missing_ancestor. Running it twice changes nothing.
UPDATE trace_spans AS t
SET has_waiting = EXISTS (
    SELECT FROM trace_spans AS w
    WHERE w.project_id = t.project_id AND w.trace_id = t.trace_id AND w.waits_for = t.span_id
)
FROM unnest($1::integer[], $2::uuid[], $3::text[]) AS k (project_id, trace_id, span_id)
WHERE t.project_id = k.project_id AND t.trace_id = k.trace_id AND t.span_id = k.span_id
