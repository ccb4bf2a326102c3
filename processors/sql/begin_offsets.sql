-- Where a generation that is being built begins to read. Parameters: generation, topic, partitions, offsets, log id.
INSERT INTO offsets (generation, topic, partition, next_offset, cluster_id, end_offset, fed_with, counted_from)
SELECT $1, $2, k.partition, k.first_offset, $5, k.first_offset, '{}', k.first_offset
FROM unnest($3::integer[], $4::bigint[]) AS k (partition, first_offset)
