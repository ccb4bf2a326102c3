-- Let partitions go on from offsets that the broker has, whatever was stored. One row a partition and generation that its
-- owner feeds. Index: offsets_pk. Parameters: topic, partitions, offsets to go on from, log id.
UPDATE offsets AS o
SET next_offset = k.next_offset,
    cluster_id = $4,
    end_offset = k.next_offset,
    counted_from = greatest(0, o.counted_from + k.next_offset - o.next_offset)
FROM unnest($2::integer[], $3::bigint[]) AS k (partition, next_offset)
WHERE o.topic = $1 AND o.partition = k.partition AND o.fed_with <> '{}'
