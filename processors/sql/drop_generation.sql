-- Stop feeding a generation and forget its offsets, its dead letters and that it was stopped. Parameter: the generation.
WITH held AS (SELECT FROM offsets ORDER BY topic, partition, generation FOR UPDATE),
fed AS (UPDATE offsets SET fed_with = array_remove(fed_with, $1) WHERE generation <> $1 AND (SELECT count(*) FROM held) >= 0),
gone AS (DELETE FROM offsets WHERE generation = $1),
letters AS (DELETE FROM dead_letters WHERE generation = $1),
stops AS (DELETE FROM stopped_generations WHERE generation = $1)
DELETE FROM generations WHERE number = $1
