-- The fence: take the rows of partitions that are at the offset which the worker expects, until the transaction ends, and
-- enter the first generation among them. A partition that does not come back belongs to another worker, and the
-- transaction must be given up. One row a partition and generation that its owner feeds. Index: offsets_pk,
-- generations_pk, stopped_generations_pk, dead_letters_by_wanted_state.
-- Parameters: topic, partitions, expected offsets, offsets behind what is to be taken in, the generation that a replay
-- builds, or null for the owner.
WITH held AS MATERIALIZED (
    SELECT o.generation, o.partition, o.log_time, o.fed_with, k.expected_offset, k.next_offset
    FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS k (partition, expected_offset, next_offset)
    JOIN offsets AS o
        ON o.topic = $1 AND o.partition = k.partition AND o.next_offset = k.expected_offset
            AND CASE WHEN $5::smallint IS NULL THEN o.fed_with <> '{}' ELSE o.generation = $5 AND o.fed_with = '{}' END
    ORDER BY o.partition, o.generation
    FOR UPDATE OF o
)
SELECT
    h.generation, h.partition, h.log_time, h.fed_with,
    EXISTS (SELECT FROM generations AS g WHERE g.number = h.generation AND g.state = 'served') AS is_served,
    EXISTS (SELECT FROM stopped_generations AS s WHERE s.generation = h.generation) AS is_stopped,
    EXISTS (SELECT FROM generations AS g WHERE g.number <> h.generation) AS has_others,
    EXISTS (
        SELECT FROM dead_letters AS d
        WHERE d.topic = $1 AND d.partition = h.partition AND d.state = 'drop'
            AND d."offset" >= h.expected_offset AND d."offset" < h.next_offset
    ) AS has_drops,
    set_config('search_path', format('generation_%s, public', min(h.generation) OVER ()), true) AS search_path
FROM held AS h
