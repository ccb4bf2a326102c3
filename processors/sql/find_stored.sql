-- Which of these events are stored already, and the hash of what was stored. At most one row an event asked for.
-- Parameters: projects, days, event ids (parallel arrays). Index: requests_pk and records_pk of each day.
SELECT k.place, c.content_hash
FROM unnest($1::integer[], $2::date[], $3::uuid[]) WITH ORDINALITY AS k (project_id, day, event_id, place)
JOIN requests AS r ON r.project_id = k.project_id AND r.day = k.day AND r.event_id = k.event_id
LEFT JOIN records AS c ON c.project_id = k.project_id AND c.day = k.day AND c.event_id = k.event_id
