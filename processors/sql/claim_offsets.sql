-- Make sure that partitions have a stored offset in every generation that is not being built, beginning at the start of
-- the log. Parameters: topic, partitions, their first offsets, cluster id. Index: offsets_pk. Running it twice changes nothing.
INSERT INTO offsets (generation, topic, partition, next_offset, cluster_id, end_offset, fed_with, counted_from)
SELECT g.number, $1, k.partition, k.first_offset, $4, k.first_offset, array_agg(g.number) OVER (PARTITION BY k.partition), k.first_offset
FROM unnest($2::integer[], $3::bigint[]) AS k (partition, first_offset)
CROSS JOIN generations AS g
WHERE g.state <> 'building'
ON CONFLICT ON CONSTRAINT offsets_pk DO NOTHING
