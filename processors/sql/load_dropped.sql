-- Records within runs of offsets that were dropped, in whatever generation, and why they had failed. Rows: one a record.
-- Parameters: topic; partitions, first offsets, offsets behind the last (parallel arrays).
-- Index: dead_letters_by_wanted_state.
SELECT DISTINCT ON (d.partition, d."offset") d.partition, d."offset", d.step, d.reason, d.detail
FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS k (partition, first_offset, next_offset)
JOIN dead_letters AS d
    ON d.topic = $1 AND d.partition = k.partition AND d.state = 'drop'
    AND d."offset" >= k.first_offset AND d."offset" < k.next_offset
ORDER BY d.partition, d."offset", d.generation
