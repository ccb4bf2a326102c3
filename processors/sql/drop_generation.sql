-- Stop feeding a generation and forget its offsets and dead letters. Parameter: the generation.
WITH held AS (SELECT FROM offsets ORDER BY topic, partition, generation FOR UPDATE),
fed AS (UPDATE offsets SET fed_with = array_remove(fed_with, $1) WHERE generation <> $1 AND (SELECT count(*) FROM held) >= 0),
gone AS (DELETE FROM offsets WHERE generation = $1),
letters AS (DELETE FROM dead_letters WHERE generation = $1)
DELETE FROM generations WHERE number = $1
