-- Delete rows of `records` by key. Running it twice changes nothing. Parameters: project, days, event ids (parallel arrays).
-- Index: records_pk.
DELETE FROM records AS r USING unnest($2::date[], $3::uuid[]) AS k (day, event_id)
WHERE r.project_id = $1 AND r.day = k.day AND r.event_id = k.event_id
