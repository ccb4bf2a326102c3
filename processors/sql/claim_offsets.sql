-- Make sure that partitions have a stored offset, beginning at the start of the log. One row a partition.
-- Parameters: generation, topic, partitions, their first offsets, cluster id. Index: offsets_pk. Running it twice changes nothing.
INSERT INTO offsets (generation, topic, partition, next_offset, cluster_id, end_offset)
SELECT $1, $2, k.partition, k.first_offset, $5, k.first_offset
FROM unnest($3::integer[], $4::bigint[]) AS k (partition, first_offset)
ON CONFLICT ON CONSTRAINT offsets_pk DO NOTHING
