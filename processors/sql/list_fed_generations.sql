-- The generations that owners of partitions of a topic feed. At most two rows. Parameter: topic. Index: none, few rows.
SELECT DISTINCT o.generation FROM offsets AS o WHERE o.topic = $1 AND o.fed_with <> '{}' ORDER BY o.generation
