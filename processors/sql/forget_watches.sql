-- Forget the sessions that are decided: those that were not put off.
-- Parameters: project ids and keys of sessions, the time that was looked for. Index: failure_watches_pk.
DELETE FROM failure_watches AS w
USING unnest($1::integer[], $2::uuid[]) AS k (project_id, session_key)
WHERE w.project_id = k.project_id AND w.session_key = k.session_key AND w.due_at < $3
