-- How far has each partition of each topic been folded?
-- Parameters: $1 generation.
-- Index: offsets_pk. Rows: one per partition.
SELECT o.topic, o.partition, o.next_offset, o.end_offset, o.as_of, o.observed_at, now() AS now
  FROM offsets o
 WHERE o.generation = $1
 ORDER BY o.topic, o.partition;
