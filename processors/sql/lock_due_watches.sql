-- Lock the sessions that have failed unless something more came; those that a worker is changing are left for later.
-- Parameters: the time up to which everything received is folded, sessions at most. Index: failure_watches_by_due.
SELECT w.project_id, w.session_key
FROM failure_watches AS w
WHERE w.due_at < $1
ORDER BY w.due_at LIMIT $2
FOR UPDATE SKIP LOCKED
