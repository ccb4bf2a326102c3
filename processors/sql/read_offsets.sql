-- The stored position of partitions. At most one row a partition asked for. Index: offsets_pk.
-- Parameters: generation, topic, partitions.
SELECT partition, next_offset, cluster_id
FROM offsets
WHERE generation = $1 AND topic = $2 AND partition = ANY($3::integer[])
