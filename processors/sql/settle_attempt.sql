-- Mark what became of an attempt. A delivery counts whenever it is heard of, a fault only while no attempt was begun since.
-- Parameters: alert id, number of the attempt, state, seconds until the next one, the fault or null. Index: alerts_pk.
UPDATE alerts AS a
SET state = $3, next_attempt_at = clock_timestamp() + make_interval(secs => $4), last_error = $5,
    delivered_at = CASE WHEN $3 = 'delivered' THEN clock_timestamp() END
WHERE a.alert_id = $1 AND a.state = 'pending' AND (a.attempts = $2 OR $3 = 'delivered')
