-- Note which of these sessions have failed if nothing more comes. An update even where nothing changes: it waits for whoever
-- is deciding about the session by what its row was before this transaction.
-- Parameters: project ids and keys of sessions, in key order, and the idle limits of their projects in seconds.
-- Index: sessions_pk, failure_watches_pk. Idempotent.
INSERT INTO failure_watches AS w (project_id, session_key, due_at)
SELECT s.project_id, s.session_key, s.last_received_at + make_interval(secs => k.idle_limit_seconds)
FROM unnest($1::integer[], $2::uuid[], $3::integer[]) AS k (project_id, session_key, idle_limit_seconds)
JOIN sessions AS s ON s.project_id = k.project_id AND s.session_key = k.session_key
WHERE s.last_is_error AND s.outcome IS NULL
ORDER BY s.project_id, s.session_key
ON CONFLICT ON CONSTRAINT failure_watches_pk DO UPDATE SET due_at = excluded.due_at
