-- How far a replay is: both generations' offsets of each partition, those that are not handed over first.
-- Index: none, few rows. One row a partition.
SELECT b.topic, b.partition, b.generation, b.next_offset, b.counted_from, b.fed_with <> '{}' AS is_handed_over,
    a.next_offset AS owner_offset
FROM generations AS g
JOIN offsets AS b ON b.generation = g.number
JOIN offsets AS a ON a.topic = b.topic AND a.partition = b.partition AND a.generation <> b.generation
WHERE g.state = 'building'
ORDER BY is_handed_over, b.topic, b.partition
