-- Add uses to the catalogue, each key at most once. A row belongs to one partition, so no two workers meet.
-- A list (project, kind, name) of one partition has the rows of its values with the smallest keys, as many as the bound says,
-- and the row of '' for all others. A value once beyond the bound stays beyond it, since smaller keys only get more: so the
-- rows are the same for the same uses in any order. Only a list that gets a new value is looked at.
-- Parameters: parallel arrays, one entry a value; values a list, the key of ''. Index: catalogue_pk. NOT idempotent, like
-- fold_sessions.sql.
WITH used AS MATERIALIZED (
    SELECT
        k.project_id, k.kind, k.topic, k.partition, k.name_key, k.value_key, k.name, k.value, k.use_count,
        k.first_used_at, k.last_used_at
    FROM unnest(
        $1::integer[], $2::text[], $3::text[], $4::integer[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
        $9::bigint[], $10::timestamptz[], $11::timestamptz[]
    ) AS k (
        project_id, kind, topic, partition, name_key, value_key, name, value, use_count, first_used_at, last_used_at
    )
), grown AS MATERIALIZED (
    SELECT DISTINCT k.project_id, k.kind, k.topic, k.partition, k.name_key FROM used AS k
    WHERE k.value_key <> $13::uuid AND NOT EXISTS (
        SELECT FROM catalogue AS s
        WHERE s.project_id = k.project_id AND s.kind = k.kind AND s.topic = k.topic AND s.partition = k.partition
            AND s.name_key = k.name_key AND s.value_key = k.value_key
    )
), listed AS (
    SELECT g.project_id, g.kind, g.topic, g.partition, g.name_key, l.value_key
    FROM grown AS g CROSS JOIN LATERAL (
        SELECT s.value_key FROM catalogue AS s
        WHERE s.project_id = g.project_id AND s.kind = g.kind AND s.topic = g.topic AND s.partition = g.partition
            AND s.name_key = g.name_key AND s.value_key <> $13
        ORDER BY s.value_key LIMIT $12::bigint
    ) AS l
    UNION
    SELECT k.project_id, k.kind, k.topic, k.partition, k.name_key, k.value_key
    FROM used AS k JOIN grown AS g USING (project_id, kind, topic, partition, name_key)
    WHERE k.value_key <> $13
), bounded AS MATERIALIZED (
    SELECT l.project_id, l.kind, l.topic, l.partition, l.name_key, l.value_key AS greatest_key
    FROM (
        SELECT
            project_id, kind, topic, partition, name_key, value_key,
            row_number() OVER (PARTITION BY project_id, kind, topic, partition, name_key ORDER BY value_key) AS place
        FROM listed
    ) AS l
    WHERE l.place = $12
), moved AS (
    DELETE FROM catalogue AS s USING bounded AS b
    WHERE s.project_id = b.project_id AND s.kind = b.kind AND s.topic = b.topic AND s.partition = b.partition
        AND s.name_key = b.name_key AND s.value_key > b.greatest_key AND s.value_key <> $13
    RETURNING s.project_id, s.kind, s.topic, s.partition, s.name_key, s.name, s.use_count, s.first_used_at, s.last_used_at
), settled AS (
    SELECT
        k.project_id, k.kind, k.topic, k.partition, k.name_key, k.name, k.use_count, k.first_used_at, k.last_used_at,
        CASE WHEN k.value_key > b.greatest_key THEN $13 ELSE k.value_key END AS value_key,
        CASE WHEN k.value_key > b.greatest_key THEN '' ELSE k.value END AS value
    FROM used AS k LEFT JOIN bounded AS b USING (project_id, kind, topic, partition, name_key)
    UNION ALL
    SELECT project_id, kind, topic, partition, name_key, name, use_count, first_used_at, last_used_at, $13, '' FROM moved
)
INSERT INTO catalogue AS s (
    project_id, kind, topic, partition, name_key, value_key, name, value, use_count, first_used_at, last_used_at
)
SELECT
    k.project_id, k.kind, k.topic, k.partition, k.name_key, k.value_key, k.name, k.value, sum(k.use_count)::bigint,
    min(k.first_used_at), max(k.last_used_at)
FROM settled AS k
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT ON CONSTRAINT catalogue_pk DO UPDATE SET
    use_count = s.use_count + excluded.use_count,
    first_used_at = least(s.first_used_at, excluded.first_used_at),
    last_used_at = greatest(s.last_used_at, excluded.last_used_at)
