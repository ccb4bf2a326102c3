-- What is known of one session?
-- Parameters: $1 project; $2 session key.
-- Index: sessions_pk; requests_by_session when it has many users. Rows: at most 1.
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
   AND f.session_key = $2;
