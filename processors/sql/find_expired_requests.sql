-- The oldest requests of a project that start before a day, as pairs of day and event id. In the ordinary partition the
-- start itself decides. Parameters: project, day, rows at most. Index: requests_pk; requests_by_start of that partition.
(SELECT r.day, r.event_id FROM requests AS r
WHERE r.project_id = $1 AND r.day > '0001-01-01' AND r.day < $2::date ORDER BY r.day, r.event_id LIMIT $3)
UNION ALL
(SELECT r.day, r.event_id FROM requests AS r
WHERE r.project_id = $1 AND r.day = '0001-01-01' AND r.started_at < $2::date::timestamp AT TIME ZONE 'UTC'
ORDER BY r.started_at, r.event_id LIMIT $3)
LIMIT $3
