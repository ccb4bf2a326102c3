-- Take a partition's fence rows of all generations. At most two rows. Index: offsets_pk. Parameters: topic, partition.
SELECT o.generation, o.next_offset, o.log_time FROM offsets AS o
WHERE o.topic = $1 AND o.partition = $2 ORDER BY o.generation FOR UPDATE
