-- Delete what the catalogue lists of a project and was last used before a time; how many. One row. A row that a worker holds
-- is left to the next run. No index on the last use, which nearly every batch moves: a look at all of the project's rows,
-- which are bounded (fold_catalogue.sql).
-- Parameters: project, the time, rows at most. Index: catalogue_pk.
WITH due AS (
    SELECT kind, topic, partition, name_key, value_key FROM catalogue
    WHERE project_id = $1 AND last_used_at < $2
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM catalogue AS c USING due AS d
    WHERE c.project_id = $1 AND c.kind = d.kind AND c.topic = d.topic AND c.partition = d.partition
        AND c.name_key = d.name_key AND c.value_key = d.value_key
    RETURNING 1
)
SELECT count(*) FROM gone
