-- Which sessions have requests that started inside a window, and what are the totals of those requests? A session that
-- lies inside with all its requests is answered by its row; one that straddles an edge is counted again from its
-- requests, and from the spans that started inside: their tokens and cost count where their project decided it.
-- Parameters: $1 project; $2, $3 window start and end, both exclusive, null for unbounded; $4, $5 their UTC days;
-- $6 text that the session's id or name contains in any case, '' for any; $7 exact name, '' for any; $8 rows at most,
-- $9 rows skipped; from $10 the filter's. The marked expressions are filled in by the filter compiler.
-- Index: sessions_by_first_request; requests_by_session for the sessions that straddle. Rows: at most $8 (1,000).
WITH figures AS (
    SELECT s.session_key, s.session_id, s.name, s.last_received_at, s.last_is_error, s.outcome, s.request_count,
           s.first_request_at, s.last_request_at, s.last_request_end_at, s.error_count, s.latency_us_sum,
           s.prompt_tokens, s.completion_tokens, s.cache_read_tokens, s.cache_write_tokens, s.reasoning_tokens,
           s.cost_nanousd, s.user_ids, s.user_ids_more
      FROM sessions s
     WHERE s.project_id = $1
       AND s.first_request_at > coalesce($2::timestamptz, '-infinity')
       AND s.first_request_at < coalesce($3::timestamptz, 'infinity')
       AND s.last_request_at < coalesce($3::timestamptz, 'infinity')
    UNION ALL
    SELECT s.session_key, s.session_id, s.name, s.last_received_at, s.last_is_error, s.outcome, s.request_count,
           s.first_request_at, s.last_request_at, s.last_request_end_at, s.error_count, s.latency_us_sum,
           s.prompt_tokens, s.completion_tokens, s.cache_read_tokens, s.cache_write_tokens, s.reasoning_tokens,
           s.cost_nanousd, s.user_ids, s.user_ids_more
      FROM sessions s
     WHERE s.project_id = $1
       -- Its first requests have left, so it cannot be counted again: the totals are those of the whole session.
       AND /*{has_lost_requests}*/true
       AND s.first_request_at < coalesce($3::timestamptz, 'infinity')
       AND s.last_request_at > coalesce($2::timestamptz, '-infinity')
       AND (s.first_request_at <= coalesce($2::timestamptz, '-infinity')
            OR s.last_request_at >= coalesce($3::timestamptz, 'infinity'))
    UNION ALL
    SELECT s.session_key, s.session_id, s.name, s.last_received_at, s.last_is_error, s.outcome,
           m.request_count, m.first_request_at, m.last_request_at, m.last_request_end_at, m.error_count,
           m.latency_us_sum, m.prompt_tokens, m.completion_tokens, m.cache_read_tokens, m.cache_write_tokens,
           m.reasoning_tokens, m.cost_nanousd, m.user_ids, false
      FROM sessions s
     CROSS JOIN LATERAL (
    SELECT
           count(*) FILTER (WHERE k.is_request) AS request_count,
           min(r.started_at) FILTER (WHERE k.is_request) AS first_request_at,
           max(r.started_at) FILTER (WHERE k.is_request) AS last_request_at,
           max(r.ended_at) FILTER (WHERE k.is_request) AS last_request_end_at,
           count(*) FILTER (WHERE k.is_request AND r.is_error) AS error_count,
           sum((extract(epoch FROM r.ended_at - r.started_at) * 1000000)::bigint)
               FILTER (WHERE k.is_request)::bigint AS latency_us_sum,
           sum(r.prompt_tokens)::bigint AS prompt_tokens,
           sum(r.completion_tokens)::bigint AS completion_tokens,
           sum(r.cache_read_tokens)::bigint AS cache_read_tokens,
           sum(r.cache_write_tokens)::bigint AS cache_write_tokens,
           sum(r.reasoning_tokens)::bigint AS reasoning_tokens,
           coalesce(sum(r.cost_nanousd), 0)::bigint AS cost_nanousd,
           coalesce(array_agg(DISTINCT r.user_id) FILTER (WHERE k.is_request AND r.user_id <> ''), '{}') AS user_ids
      FROM requests r
     CROSS JOIN LATERAL (SELECT r.kind IN ('llm', 'tool', 'vector_db', 'data') AS is_request) k
     WHERE r.project_id = $1
       AND r.session_key = s.session_key
       AND (k.is_request OR (r.kind = 'span' AND r.source = 'otlp'))
       AND r.started_at > coalesce($2::timestamptz, '-infinity')
       AND r.started_at < coalesce($3::timestamptz, 'infinity')
       -- A start far from its receipt lies in the partition of the first day, whatever its own day is.
       AND (r.day BETWEEN coalesce($4::date, '-infinity') AND coalesce($5::date, 'infinity') OR r.day = '0001-01-01')
     ) m
     WHERE s.project_id = $1
       AND s.first_request_at < coalesce($3::timestamptz, 'infinity')
       AND s.last_request_at > coalesce($2::timestamptz, '-infinity')
       AND (s.first_request_at <= coalesce($2::timestamptz, '-infinity')
            OR s.last_request_at >= coalesce($3::timestamptz, 'infinity'))
       AND NOT /*{has_lost_requests}*/true
       AND m.request_count > 0
)
SELECT f.session_key, f.session_id, f.name, f.last_received_at, f.last_is_error, f.outcome, now() AS now,
       f.request_count, f.first_request_at, f.last_request_at, f.last_request_end_at, f.error_count, f.latency_us_sum,
       f.prompt_tokens, f.completion_tokens, f.cache_read_tokens, f.cache_write_tokens, f.reasoning_tokens,
       f.cost_nanousd,
       -- A marked set is only the smallest members. Its session lies inside the window, so all its requests count.
       -- The planner leaves this for the rows of the page.
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
  FROM figures f
 WHERE ($6 = '' OR position(lower($6::text COLLATE "pg_c_utf8") IN lower(f.session_id COLLATE "pg_c_utf8")) > 0
                OR position(lower($6::text COLLATE "pg_c_utf8") IN lower(f.name COLLATE "pg_c_utf8")) > 0)
   AND ($7 = '' OR f.name = $7)
   AND /*{listed}*/true
 ORDER BY /*{order}*/f.first_request_at DESC, f.session_id
 LIMIT $8 OFFSET $9;
