-- When was the newest event of a project's sessions received?
-- Parameters: $1 project.
-- Index: none yet serves last_received_at. Rows: 1.
SELECT max(s.last_received_at) AS last_received_at
  FROM sessions s
 WHERE s.project_id = $1;
