-- Let partitions go on from offsets that the broker has, whatever was stored. One row a partition. Index: offsets_pk.
-- Parameters: generation, topic, partitions, offsets to go on from, log id. Running it twice changes nothing.
INSERT INTO offsets (generation, topic, partition, next_offset, cluster_id, end_offset)
SELECT $1, $2, k.partition, k.next_offset, $5, k.next_offset
FROM unnest($3::integer[], $4::bigint[]) AS k (partition, next_offset)
ON CONFLICT ON CONSTRAINT offsets_pk DO UPDATE
SET next_offset = excluded.next_offset, cluster_id = excluded.cluster_id, end_offset = excluded.end_offset
