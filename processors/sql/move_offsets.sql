-- The fence: move partitions from the offsets that the worker expects, and say which ones moved. A partition that does
-- not come back belongs to another worker, and the transaction must be given up. One row a partition. Index: offsets_pk,
-- dead_letters_by_wanted_state, stopped_generations_pk.
-- Parameters: generation, topic, partitions, expected offsets, next offsets, end offsets, broker times folded up to.
WITH held AS (
    SELECT o.partition, o.log_time, k.expected_offset, k.next_offset, k.end_offset, k.as_of
    FROM unnest($3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[])
        AS k (partition, expected_offset, next_offset, end_offset, as_of)
    JOIN offsets AS o
        ON o.generation = $1 AND o.topic = $2 AND o.partition = k.partition AND o.next_offset = k.expected_offset
    ORDER BY o.partition
    FOR UPDATE OF o
)
UPDATE offsets AS o
SET next_offset = h.next_offset,
    end_offset = greatest(h.end_offset, h.next_offset),
    as_of = greatest(o.as_of, h.as_of),
    log_time = greatest(o.log_time, h.as_of),
    log_time_seen_at = clock_timestamp(),
    observed_at = clock_timestamp()
FROM held AS h
WHERE o.generation = $1 AND o.topic = $2 AND o.partition = h.partition
RETURNING o.partition, h.log_time AS log_time_before,
    EXISTS (
        SELECT FROM dead_letters AS d
        WHERE d.topic = $2 AND d.partition = h.partition AND d.state = 'drop'
            AND d."offset" >= h.expected_offset AND d."offset" < h.next_offset
    ) AS has_drops,
    EXISTS (SELECT FROM stopped_generations AS s WHERE s.generation = $1) AS is_stopped
