-- Make sure that partitions have a stored offset in every generation that is not being built, beginning at the start of
-- the log. Offsets that were stored when only the cluster's id was known are taken for this topic's.
-- Parameters: topic, partitions, their first offsets, log id (`<cluster id>/<topic id>`). Index: offsets_pk.
-- Running it twice changes nothing.
WITH completed AS (
    UPDATE offsets SET cluster_id = $4
    WHERE topic = $1 AND partition = ANY($2::integer[]) AND cluster_id <> $4 AND cluster_id = split_part($4, '/', 1)
)
INSERT INTO offsets (generation, topic, partition, next_offset, cluster_id, end_offset, fed_with, counted_from)
SELECT
    g.number, $1, k.partition, k.first_offset, $4, k.first_offset, array_agg(g.number) OVER (PARTITION BY k.partition),
    k.first_offset
FROM unnest($2::integer[], $3::bigint[]) AS k (partition, first_offset)
CROSS JOIN generations AS g
WHERE g.state <> 'building'
ON CONFLICT ON CONSTRAINT offsets_pk DO NOTHING
