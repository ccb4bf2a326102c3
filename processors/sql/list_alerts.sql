-- The alerts of a project or of all, the latest first.
-- Parameters: project id or null, states or null, rows at most. Index: alerts_by_time for one project.
SELECT
    a.alert_id, p.name AS project, a.rule, a.session_id, a.state, a.attempts, a.fired_at, a.delivered_at,
    CASE WHEN a.state = 'pending' THEN a.next_attempt_at END AS next_attempt_at, a.last_error
FROM alerts AS a
JOIN projects AS p ON p.project_id = a.project_id
WHERE ($1::integer IS NULL OR a.project_id = $1) AND ($2::text[] IS NULL OR a.state = ANY ($2))
ORDER BY a.fired_at DESC, a.alert_id LIMIT $3
