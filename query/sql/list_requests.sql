-- Which requests match a filter, with their bodies?
-- Parameters: $1 project; $2 rows at most; $3 rows skipped; $4 bytes of bodies and properties at most, beyond which all
-- bodies are left out and page_bytes says so; from $5 the filter's. The marked expressions are filled in by the filter
-- compiler and the sort.
-- Index: requests_by_start, or requests_by_session for a session id; records_pk. Rows: at most $2 (1,000).
WITH page AS (
    SELECT r.project_id, r.day, r.event_id, r.session_id, r.session_name, r.session_path, r.started_at, r.ended_at,
           r.time_to_first_token_us, r.status, r.provider, r.model, r.request_model, r.response_model,
           r.model_override, r.target_url, r.prompt_tokens, r.completion_tokens, r.cache_read_tokens,
           r.cache_write_tokens, r.reasoning_tokens, r.prompt_audio_tokens, r.completion_audio_tokens,
           r.cost_nanousd, r.user_id, r.properties, r.source, r.received_at, r.decoded_request_body,
           r.decoded_response_body
      FROM requests r
     WHERE r.project_id = $1
       AND r.kind IN ('llm', 'tool', 'vector_db', 'data')
       AND /*{matching}*/true
     ORDER BY /*{order}*/r.started_at DESC, r.started_at DESC, r.event_id
     LIMIT $2 OFFSET $3
)
SELECT r.event_id, r.session_id, r.session_name, r.session_path, r.started_at, r.ended_at, r.time_to_first_token_us,
       r.status, r.provider, r.model, r.request_model, r.response_model, r.model_override, r.target_url,
       r.prompt_tokens, r.completion_tokens, r.cache_read_tokens, r.cache_write_tokens, r.reasoning_tokens,
       r.prompt_audio_tokens, r.completion_audio_tokens, r.cost_nanousd, r.user_id, r.source, r.received_at,
       (sum(size.bytes) OVER ())::bigint AS page_bytes,
       CASE WHEN sum(size.bytes) OVER () <= $4::bigint THEN r.properties END AS properties,
       CASE WHEN sum(size.bytes) OVER () <= $4::bigint
            THEN coalesce(r.decoded_request_body, b.request_body) END AS request_body,
       CASE WHEN sum(size.bytes) OVER () <= $4::bigint
            THEN coalesce(r.decoded_response_body, b.response_body) END AS response_body
  FROM page r
  LEFT JOIN records b ON b.project_id = r.project_id AND b.day = r.day AND b.event_id = r.event_id
 CROSS JOIN LATERAL (
    SELECT coalesce(octet_length(coalesce(r.decoded_request_body, b.request_body)), 0)::bigint
           + coalesce(octet_length(coalesce(r.decoded_response_body, b.response_body)), 0)
           -- The properties stand in the answer twice.
           + 2 * octet_length(r.properties::text) AS bytes
 ) size
 ORDER BY /*{order}*/r.started_at DESC, r.started_at DESC, r.event_id;
