-- Look again later at those of these sessions whose latest event is an error, and which are not idle yet.
-- Parameters: project ids and keys of sessions; projects and their idle limits in seconds; the time that was looked for.
-- Index: sessions_pk, failure_watches_pk. The caller has locked the watches.
UPDATE failure_watches AS w
SET due_at = s.last_received_at + make_interval(secs => p.idle_limit_seconds)
FROM unnest($1::integer[], $2::uuid[]) AS k (project_id, session_key)
JOIN unnest($3::integer[], $4::integer[]) AS p (project_id, idle_limit_seconds) ON p.project_id = k.project_id
JOIN sessions AS s ON s.project_id = k.project_id AND s.session_key = k.session_key
WHERE w.project_id = k.project_id AND w.session_key = k.session_key
    AND s.last_is_error AND s.outcome IS NULL
    AND s.last_received_at >= $5::timestamptz - make_interval(secs => p.idle_limit_seconds)
