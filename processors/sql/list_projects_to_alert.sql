-- The projects that have alerts to be sent now. No parameters. Index: alerts_pending.
SELECT DISTINCT a.project_id
FROM alerts AS a
WHERE a.state = 'pending' AND a.next_attempt_at <= clock_timestamp()
