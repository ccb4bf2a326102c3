-- The fence: take the rows of partitions that are at the offset which the worker expects, until the transaction ends. A
-- partition that does not come back belongs to another worker, and the transaction must be given up. One row a partition
-- and generation that its owner feeds. Index: offsets_pk.
-- Parameters: topic, partitions, expected offsets, the generation that a replay builds, or null for the owner.
SELECT o.generation, o.partition, o.log_time, o.fed_with
FROM unnest($2::integer[], $3::bigint[]) AS k (partition, expected_offset)
JOIN offsets AS o
    ON o.topic = $1 AND o.partition = k.partition AND o.next_offset = k.expected_offset
        AND CASE WHEN $4::smallint IS NULL THEN o.fed_with <> '{}' ELSE o.generation = $4 AND o.fed_with = '{}' END
ORDER BY o.partition, o.generation
FOR UPDATE OF o
