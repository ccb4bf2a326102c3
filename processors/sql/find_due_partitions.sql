-- Which partitions that are read to their end have windows to close or spans to join still in one generation, and up to
-- which broker time, at least, it is now?
-- The broker's clock had reached log_time when the database's showed log_time_seen_at, and both go on at one pace.
-- Parameters: generation, topic, partitions, the database's time before the ends were asked for.
-- Index: offsets_pk, trace_spans_by_closing, trace_spans_with_waiting. At most one row a partition.
SELECT o.partition, o.log_time + ($4::timestamptz - o.log_time_seen_at) AS read_to
FROM offsets AS o
WHERE o.generation = $1 AND o.topic = $2 AND o.partition = ANY($3::integer[]) AND o.fed_with <> '{}'
    AND (
        EXISTS (
            SELECT FROM trace_spans AS t
            WHERE t.partition = o.partition AND t.is_open
                AND t.closes_at < o.log_time + ($4::timestamptz - o.log_time_seen_at)
        )
        OR EXISTS (SELECT FROM trace_spans AS a WHERE a.partition = o.partition AND a.has_waiting)
    )
