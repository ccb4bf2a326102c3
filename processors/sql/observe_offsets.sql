-- Say how far behind partitions are that have nothing to store. A position that moved meanwhile is left alone.
-- Parameters: topic, partitions, their offsets, end offsets, the time the ends were asked for. Index: offsets_pk.
WITH held AS (
    SELECT o.generation, o.partition, k.end_offset
    FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS k (partition, next_offset, end_offset)
    JOIN offsets AS o
        ON o.topic = $1 AND o.partition = k.partition AND o.next_offset = k.next_offset AND o.fed_with <> '{}'
    ORDER BY o.partition, o.generation
    FOR UPDATE OF o
)
UPDATE offsets AS o
SET end_offset = h.end_offset,
    as_of = CASE WHEN h.end_offset <= o.next_offset THEN greatest(o.as_of, $5) ELSE o.as_of END,
    observed_at = clock_timestamp()
FROM held AS h
WHERE o.generation = h.generation AND o.topic = $1 AND o.partition = h.partition
