-- The fence: move partitions from the offsets that the worker expects, and say which ones moved. A partition that does
-- not come back belongs to another worker, and the transaction must be given up. One row a partition. Index: offsets_pk.
-- Parameters: generation, topic, partitions, expected offsets, next offsets, end offsets, broker times folded up to.
UPDATE offsets AS o
SET next_offset = k.next_offset,
    end_offset = greatest(k.end_offset, k.next_offset),
    as_of = greatest(o.as_of, k.as_of),
    observed_at = clock_timestamp()
FROM unnest($3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[])
    AS k (partition, expected_offset, next_offset, end_offset, as_of)
WHERE o.generation = $1 AND o.topic = $2 AND o.partition = k.partition AND o.next_offset = k.expected_offset
RETURNING o.partition
