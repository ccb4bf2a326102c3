-- What roll-ups have counted of stored events that a join changes. At most one row an event asked for.
-- Parameters: projects, days, event ids (parallel arrays). Index: requests_pk of each day.
SELECT
    k.place, r.project_id, r.event_id, r.kind, r.source, r.started_at, r.ended_at, r.received_at, r.is_error, r.error_type, r.error_message,
    r.session_id, r.session_name, r.session_path AS path, r.time_to_first_token_us, r.prompt_tokens,
    r.completion_tokens, r.cache_read_tokens, r.cache_write_tokens, r.reasoning_tokens, r.prompt_audio_tokens,
    r.completion_audio_tokens, r.cost_nanousd, r.user_id, r.provider, r.model, r.properties, r.path_key IS NULL AS is_path_provisional
FROM unnest($1::integer[], $2::date[], $3::uuid[]) WITH ORDINALITY AS k (project_id, day, event_id, place)
JOIN requests AS r ON r.project_id = k.project_id AND r.day = k.day AND r.event_id = k.event_id
