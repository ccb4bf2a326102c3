-- Since when are a project's requests stored? No row: all of them are.
-- Parameters: $1 project.
-- Index: requests_since_pk. Rows: at most 1.
SELECT s.day::timestamp AT TIME ZONE 'UTC' AS since
  FROM requests_since s
 WHERE s.project_id = $1;
