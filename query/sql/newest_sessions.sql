-- Which are the newest sessions, with or without requests, that come after a place in the list?
-- Parameters: $1 project; $2 exact name, null for any; $3 status, null for any; $4 a session whose latest event was
-- received at most this many seconds ago is active; $5, $6 the place: first event's time and session key of the last
-- session already shown, null for the top; $7 rows at most.
-- Index: none yet serves first_event_at. Rows: at most $7 (201).
SELECT f.session_key, f.session_id, f.name, f.event_count, f.first_event_at, f.last_event_end_at, f.last_received_at,
       f.last_is_error, f.outcome, f.outcome_reason, f.ended_at, now() AS now,
       f.request_count, f.first_request_at, f.last_request_at, f.last_request_end_at, f.error_count,
       f.latency_us_sum, f.prompt_tokens, f.completion_tokens, f.cache_read_tokens, f.cache_write_tokens,
       f.reasoning_tokens, f.cost_nanousd,
       f.time_to_first_token_us_sum, f.time_to_first_token_count, f.prompt_audio_tokens, f.completion_audio_tokens,
       f.unpriced_count,
       CASE WHEN f.user_ids_more THEN (
           SELECT array_agg(DISTINCT u.user_id)
             FROM (
               -- Requests that have left are in the row's set alone.
               SELECT unnest(f.user_ids) AS user_id
               UNION
               SELECT r.user_id
                 FROM requests r
              WHERE r.project_id = $1
                AND r.session_key = f.session_key
                AND r.kind IN ('llm', 'tool', 'vector_db', 'data')
                AND r.user_id <> ''
             ) u
       ) ELSE f.user_ids END AS user_ids
  FROM sessions f
 WHERE f.project_id = $1
   AND ($2::text IS NULL OR f.name = $2)
   AND ($3::text IS NULL OR $3 = coalesce(f.outcome,
            CASE WHEN f.last_received_at >= now() - make_interval(secs => $4::integer) THEN 'active'
                 WHEN f.last_is_error THEN 'failed'
                 ELSE 'completed' END))
   AND ($5::timestamptz IS NULL OR (f.first_event_at, f.session_key) < ($5, $6::uuid))
 ORDER BY f.first_event_at DESC, f.session_key DESC
 LIMIT $7;
