-- Insert the alerts of these sessions whose rows break a rule. One that is there already stays as it is.
-- Parameters: project ids and keys of sessions, in key order; then the rules: project ids, names, kinds, thresholds in the
-- units of the settings, requests at least, idle limits in seconds; the time up to which everything received is folded, or
-- null where nobody fails by idleness. Index: sessions_pk, alerts_fire_once. Idempotent.
INSERT INTO alerts (
    project_id, session_key, rule, kind, threshold, session_id, session_name, request_count, error_count, cost_nanousd,
    duration_us
)
SELECT
    s.project_id, s.session_key, r.name, r.kind, r.threshold, s.session_id, s.name, s.request_count, s.error_count,
    s.cost_nanousd, d.duration_us
FROM unnest($1::integer[], $2::uuid[]) AS k (project_id, session_key)
JOIN sessions AS s ON s.project_id = k.project_id AND s.session_key = k.session_key
JOIN unnest($3::integer[], $4::text[], $5::text[], $6::double precision[], $7::bigint[], $8::integer[])
    AS r (project_id, name, kind, threshold, requests_min, idle_limit_seconds) ON r.project_id = s.project_id
CROSS JOIN LATERAL (
    SELECT coalesce(extract(epoch FROM s.last_request_end_at - s.first_request_at) * 1000000, 0)::bigint AS duration_us
) AS d
WHERE CASE r.kind
    WHEN 'session_failed' THEN s.outcome = 'failed' OR (
        s.outcome IS NULL AND s.last_is_error
        AND s.last_received_at < $9::timestamptz - make_interval(secs => r.idle_limit_seconds)
    )
    WHEN 'cost_above' THEN s.cost_nanousd > round(r.threshold * 1000000000)
    WHEN 'duration_above' THEN d.duration_us > round(r.threshold * 1000000)
    WHEN 'error_share_above' THEN s.request_count >= r.requests_min AND s.error_count > r.threshold * s.request_count
END
ORDER BY s.project_id, s.session_key, r.name
ON CONFLICT ON CONSTRAINT alerts_fire_once DO NOTHING
