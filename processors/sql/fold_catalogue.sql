-- Add uses to the catalogue, each key at most once. A row belongs to one partition, so no two workers meet.
-- A list (project, kind, name) of one partition has the rows of its values with the smallest keys, as many as the bound says,
-- and the row of '' for all others. A value once beyond the bound stays beyond it, since smaller keys only get more: so the
-- rows are the same for the same uses in any order. Only a list that gets a new value is looked at.
-- Parameters: parallel arrays, one entry a value; values a list, the key of ''. Index: catalogue_pk. NOT idempotent, like
-- fold_sessions.sql.
WITH used AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::integer[], $2::text[], $3::text[], $4::integer[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
        $9::bigint[], $10::timestamptz[], $11::timestamptz[]
    ) AS k (
        project_id, kind, topic, partition, name_key, value_key, name, value, use_count, first_used_at, last_used_at
    )
), grown AS (
    SELECT DISTINCT k.project_id, k.kind, k.topic, k.partition, k.name_key FROM used AS k
    WHERE k.value_key <> $13 AND NOT EXISTS (
        SELECT FROM catalogue AS s
        WHERE s.project_id = k.project_id AND s.kind = k.kind AND s.topic = k.topic AND s.partition = k.partition
            AND s.name_key = k.name_key AND s.value_key = k.value_key
    )
), bounded AS MATERIALIZED (
    SELECT g.*, (
        SELECT u.value_key FROM (
            (
                SELECT s.value_key FROM catalogue AS s
                WHERE s.project_id = g.project_id AND s.kind = g.kind AND s.topic = g.topic
                    AND s.partition = g.partition AND s.name_key = g.name_key AND s.value_key <> $13
                ORDER BY s.value_key LIMIT $12
            ) UNION SELECT k.value_key FROM used AS k
            WHERE k.project_id = g.project_id AND k.kind = g.kind AND k.topic = g.topic AND k.partition = g.partition
                AND k.name_key = g.name_key AND k.value_key <> $13
        ) AS u ORDER BY u.value_key OFFSET $12 - 1 LIMIT 1
    ) AS greatest_key
    FROM grown AS g
), moved AS (
    DELETE FROM catalogue AS s USING bounded AS b
    WHERE s.project_id = b.project_id AND s.kind = b.kind AND s.topic = b.topic AND s.partition = b.partition
        AND s.name_key = b.name_key AND s.value_key > b.greatest_key AND s.value_key <> $13
    RETURNING s.*
), settled AS (
    SELECT k.*, coalesce(k.value_key > b.greatest_key, false) AS is_beyond
    FROM used AS k LEFT JOIN bounded AS b USING (project_id, kind, topic, partition, name_key)
    UNION ALL
    SELECT
        project_id, kind, topic, partition, name_key, value_key, name, value, use_count, first_used_at, last_used_at,
        true
    FROM moved
)
INSERT INTO catalogue AS s (
    project_id, kind, topic, partition, name_key, value_key, name, value, use_count, first_used_at, last_used_at
)
SELECT
    k.project_id, k.kind, k.topic, k.partition, k.name_key, CASE WHEN k.is_beyond THEN $13 ELSE k.value_key END,
    k.name, CASE WHEN k.is_beyond THEN '' ELSE k.value END, sum(k.use_count)::bigint, min(k.first_used_at),
    max(k.last_used_at)
FROM settled AS k
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT ON CONSTRAINT catalogue_pk DO UPDATE SET
    use_count = s.use_count + excluded.use_count,
    first_used_at = least(s.first_used_at, excluded.first_used_at),
    last_used_at = greatest(s.last_used_at, excluded.last_used_at)
