-- The stored position of partitions, which is one in all generations that their owner feeds. At most one row a partition
-- asked for. Index: offsets_pk. Parameters: topic, partitions.
SELECT DISTINCT o.partition, o.next_offset, o.cluster_id
FROM offsets AS o
WHERE o.topic = $1 AND o.partition = ANY($2::integer[]) AND o.fed_with <> '{}'
