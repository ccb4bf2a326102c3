-- Move fence rows that the transaction holds past what it took in. One row a partition. Index: offsets_pk.
-- Parameters: generation, topic, partitions, next offsets, end offsets, broker times folded up to, and how many records
-- became new events, links of a trace only, copies, copies with other content, expired, dead letters, dropped.
UPDATE offsets AS o
SET next_offset = k.next_offset,
    end_offset = greatest(k.end_offset, k.next_offset),
    as_of = greatest(o.as_of, k.as_of),
    log_time = greatest(o.log_time, k.as_of),
    log_time_seen_at = clock_timestamp(),
    observed_at = clock_timestamp(),
    stored_count = o.stored_count + k.new,
    structural_count = o.structural_count + k.structural,
    duplicate_count = o.duplicate_count + k.duplicates,
    conflict_count = o.conflict_count + k.conflicts,
    expired_count = o.expired_count + k.expired,
    dead_letter_count = o.dead_letter_count + k.dead_letters,
    drop_count = o.drop_count + k.drops
FROM unnest(
    $3::integer[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]
) AS k (partition, next_offset, end_offset, as_of, new, structural, duplicates, conflicts, expired, dead_letters, drops)
WHERE o.generation = $1 AND o.topic = $2 AND o.partition = k.partition
