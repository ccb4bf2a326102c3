-- Delete sessions of a project whose last event ended before a time, with their paths and alerts; how many sessions. One row.
-- A session that gets an event meanwhile stays: its row is looked at again once it is locked.
-- Parameters: project, the time, sessions at most. Index: sessions_by_first_event (none ends before it begins), session_paths_pk,
-- alerts_fire_once.
WITH due AS (
    SELECT s.session_key FROM sessions AS s
    WHERE s.project_id = $1 AND s.first_event_at < $2 AND s.last_event_end_at < $2
    ORDER BY s.first_event_at, s.session_key LIMIT $3
    FOR UPDATE
), gone AS (
    DELETE FROM sessions AS s USING due WHERE s.project_id = $1 AND s.session_key = due.session_key
    RETURNING s.session_key
), paths AS (
    DELETE FROM session_paths AS p USING gone WHERE p.project_id = $1 AND p.session_key = gone.session_key
), fired AS (
    DELETE FROM alerts AS a USING gone WHERE a.project_id = $1 AND a.session_key = gone.session_key
)
SELECT count(*) FROM gone
