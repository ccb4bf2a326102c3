-- Say how far behind partitions are that have nothing to store. A position that moved meanwhile is left alone.
-- Parameters: generation, topic, partitions, their offsets, end offsets, the time the ends were asked for. Index: offsets_pk.
UPDATE offsets AS o
SET end_offset = k.end_offset,
    as_of = CASE WHEN k.end_offset <= o.next_offset THEN greatest(o.as_of, $6) ELSE o.as_of END,
    observed_at = clock_timestamp()
FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS k (partition, next_offset, end_offset)
WHERE o.generation = $1 AND o.topic = $2 AND o.partition = k.partition AND o.next_offset = k.next_offset
