-- Delete rows of paths by hour of a project whose hour began before a time; how many. One row. A row that a worker holds is
-- left to the next run: it adds an event of that hour.
-- Parameters: project, the time, rows at most. Index: path_hours_pk.
WITH due AS (
    SELECT hour, name_key, path_key, topic, partition FROM path_hours
    WHERE project_id = $1 AND hour < $2
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM path_hours AS h USING due AS d
    WHERE h.project_id = $1 AND h.hour = d.hour AND h.name_key = d.name_key AND h.path_key = d.path_key
        AND h.topic = d.topic AND h.partition = d.partition
    RETURNING 1
)
SELECT count(*) FROM gone
