-- Take the fence row of a partition, if it is where the worker expects it. At most one row. Index: offsets_pk.
-- Parameters: generation, topic, partition, expected offset.
SELECT o.partition, o.log_time
FROM offsets AS o
WHERE o.generation = $1 AND o.topic = $2 AND o.partition = $3 AND o.next_offset = $4
FOR UPDATE
