-- How far has each partition of each topic been folded?
-- Parameters: none. Index: offsets_pk. Rows: one per partition.
SELECT o.topic, o.partition, o.next_offset, o.end_offset, o.as_of, o.observed_at, now() AS now
  FROM generations g
  JOIN offsets o ON o.generation = g.number
 WHERE g.state = 'served'
 ORDER BY o.topic, o.partition;
