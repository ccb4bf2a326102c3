-- Which of these events have a stored record, and that record where it differs. At most one row an event asked for.
-- Parameters: projects, days, event ids, content hashes, envelopes (parallel arrays). Index: records_pk of each day.
SELECT k.place, o.is_other, c.envelope,
    CASE WHEN o.is_other THEN c.request_body END AS request_body,
    CASE WHEN o.is_other THEN c.response_body END AS response_body
FROM unnest($1::integer[], $2::date[], $3::uuid[], $4::uuid[], $5::text[])
    WITH ORDINALITY AS k (project_id, day, event_id, content_hash, envelope, place)
JOIN records AS c ON c.project_id = k.project_id AND c.day = k.day AND c.event_id = k.event_id
CROSS JOIN LATERAL (SELECT c.content_hash <> k.content_hash OR c.envelope <> k.envelope AS is_other) AS o
