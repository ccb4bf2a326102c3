-- Begin an attempt at the alert of a project that is due first: count it, and let it be due again when it must have ended.
-- Parameters: project id, seconds until then. At most one row, with everything that is sent. Index: alerts_pending.
UPDATE alerts AS a
SET attempts = a.attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => $2)
FROM projects AS p
JOIN project_settings AS s ON s.project_id = p.project_id AND s.version = p.settings_version
WHERE p.project_id = a.project_id AND a.alert_id = (
    SELECT due.alert_id FROM alerts AS due
    WHERE due.project_id = $1 AND due.state = 'pending' AND due.next_attempt_at <= clock_timestamp()
    ORDER BY due.next_attempt_at LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING
    a.alert_id, a.project_id, a.attempts, a.rule, a.kind, a.threshold, a.session_id, a.session_name, a.request_count,
    a.error_count, a.cost_nanousd, a.duration_us, a.fired_at, p.name AS project, s.settings
