-- What are the totals of some sessions over all their requests, whatever the window of the question was?
-- Parameters: $1 project; $2 session keys, at most 1,000.
-- Index: sessions_pk; requests_by_session for sessions with many users. Rows: one per key, in no order.
SELECT f.session_key,
       f.request_count, f.first_request_at, f.last_request_at, f.last_request_end_at, f.error_count,
       f.latency_us_sum, f.prompt_tokens, f.completion_tokens, f.cache_read_tokens, f.cache_write_tokens,
       f.reasoning_tokens, f.cost_nanousd,
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
   AND f.session_key = ANY($2::uuid[]);
