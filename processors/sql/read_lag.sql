-- How far every partition of these topics is folded, in every generation. One row a partition and generation.
-- Parameters: topics. Index: none; the table has a few dozen rows.
SELECT generation, topic, partition, next_offset, as_of
FROM offsets
WHERE topic = ANY($1::text[])
ORDER BY topic, partition, generation
