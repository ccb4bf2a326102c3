-- Make sure that partitions have a stored offset, beginning at the start of the log. One row a partition.
-- Offsets that were stored when only the cluster's id was known are taken for this topic's.
-- Parameters: generation, topic, partitions, their first offsets, log id (`<cluster id>/<topic id>`). Index: offsets_pk.
-- Running it twice changes nothing.
WITH completed AS (
    UPDATE offsets SET cluster_id = $5
    WHERE generation = $1 AND topic = $2 AND partition = ANY($3::integer[])
        AND cluster_id <> $5 AND cluster_id = split_part($5, '/', 1)
)
INSERT INTO offsets (generation, topic, partition, next_offset, cluster_id, end_offset)
SELECT $1, $2, k.partition, k.first_offset, $5, k.first_offset
FROM unnest($3::integer[], $4::bigint[]) AS k (partition, first_offset)
ON CONFLICT ON CONSTRAINT offsets_pk DO NOTHING
