-- Set what a join decided about stored events: session, path, name and user, and that another span counts their usage.
-- Parameters: parallel arrays, one entry an event; the last says which span counts, null for none.
-- Index: requests_pk of each day. Running it twice changes nothing.
UPDATE requests AS r
SET session_key = k.session_key,
    path_key = k.path_key,
    session_id = k.session_id,
    session_name = k.session_name,
    session_path = k.session_path,
    user_id = k.user_id,
    prompt_tokens = CASE WHEN k.counted_by IS NULL THEN r.prompt_tokens ELSE 0 END,
    completion_tokens = CASE WHEN k.counted_by IS NULL THEN r.completion_tokens ELSE 0 END,
    cache_read_tokens = CASE WHEN k.counted_by IS NULL THEN r.cache_read_tokens ELSE 0 END,
    cache_write_tokens = CASE WHEN k.counted_by IS NULL THEN r.cache_write_tokens ELSE 0 END,
    reasoning_tokens = CASE WHEN k.counted_by IS NULL THEN r.reasoning_tokens ELSE 0 END,
    prompt_audio_tokens = CASE WHEN k.counted_by IS NULL THEN r.prompt_audio_tokens ELSE 0 END,
    completion_audio_tokens = CASE WHEN k.counted_by IS NULL THEN r.completion_audio_tokens ELSE 0 END,
    cost_nanousd = CASE WHEN k.counted_by IS NULL THEN r.cost_nanousd ELSE 0 END,
    properties = CASE WHEN k.counted_by IS NULL THEN r.properties
        ELSE r.properties || jsonb_build_object('pathline.usage_counted_by', k.counted_by) END
FROM unnest(
    $1::integer[], $2::date[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[]
) AS k (project_id, day, event_id, session_key, path_key, session_id, session_name, session_path, user_id, counted_by)
WHERE r.project_id = k.project_id AND r.day = k.day AND r.event_id = k.event_id
