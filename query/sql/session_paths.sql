-- What happened at each path of one session?
-- Parameters: $1 project; $2 session key; $3 rows at most.
-- Index: session_paths_pk. Rows: at most $3 (10,001).
SELECT p.path, p.request_count, p.error_count, p.latency_us_sum, p.latency_us_min, p.latency_us_max, p.span_count,
       p.span_latency_us_sum, p.prompt_tokens, p.completion_tokens, p.cache_read_tokens, p.cache_write_tokens,
       p.reasoning_tokens, p.prompt_audio_tokens, p.completion_audio_tokens, p.cost_nanousd, p.first_at, p.last_end_at
  FROM session_paths p
 WHERE p.project_id = $1
   AND p.session_key = $2
 LIMIT $3;
