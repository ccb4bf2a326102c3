-- The spans of partitions that have come and whose waiting spans are not all joined yet. Rows: few.
-- Parameters: partitions. Index: trace_spans_with_waiting.
SELECT t.project_id, t.trace_id, t.span_id
FROM trace_spans AS t
WHERE t.partition = ANY($1::integer[]) AND t.has_waiting
