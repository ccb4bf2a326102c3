-- Add folds to the rows of paths by session name and hour, each key at most once, in key order. A row belongs to one
-- partition, so no two workers meet. Parameters: parallel arrays, one entry a row (see fold_sessions.sql).
-- Index: path_hours_pk. NOT idempotent, like fold_sessions.sql.
INSERT INTO path_hours AS s (
    project_id, hour, name_key, path_key, topic, partition, session_name, path, request_count, error_count,
    latency_us_sum, latency_histogram, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, cost_nanousd, latency_us_min, latency_us_max,
    span_count, span_latency_us_sum
)
SELECT
    k.project_id, k.hour, k.name_key, k.path_key, k.topic, k.partition, k.session_name, k.path, k.request_count,
    k.error_count, k.latency_us_sum, k.latency_histogram::bigint[], k.prompt_tokens, k.completion_tokens,
    k.cache_read_tokens, k.cache_write_tokens, k.reasoning_tokens, k.prompt_audio_tokens,
    k.completion_audio_tokens, k.cost_nanousd, k.latency_us_min, k.latency_us_max, k.span_count,
    k.span_latency_us_sum
FROM unnest(
    $1::integer[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::integer[], $7::text[], $8::text[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[],
    $23::bigint[], $24::bigint[]
) AS k (
    project_id, hour, name_key, path_key, topic, partition, session_name, path, request_count, error_count,
    latency_us_sum, latency_histogram, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens,
    reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, cost_nanousd, latency_us_min, latency_us_max,
    span_count, span_latency_us_sum
)
ON CONFLICT ON CONSTRAINT path_hours_pk DO UPDATE SET
    request_count = s.request_count + excluded.request_count,
    error_count = s.error_count + excluded.error_count,
    latency_us_sum = s.latency_us_sum + excluded.latency_us_sum,
    latency_histogram = CASE
        WHEN cardinality(excluded.latency_histogram) = 0 THEN s.latency_histogram
        WHEN cardinality(s.latency_histogram) = 0 THEN excluded.latency_histogram
        ELSE ARRAY(
            SELECT ((u.element >> 32) << 32) + sum(u.element & 4294967295)::bigint
            FROM unnest(s.latency_histogram || excluded.latency_histogram) AS u (element)
            GROUP BY u.element >> 32 ORDER BY u.element >> 32
        ) END,
    prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = s.completion_tokens + excluded.completion_tokens,
    cache_read_tokens = s.cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = s.cache_write_tokens + excluded.cache_write_tokens,
    reasoning_tokens = s.reasoning_tokens + excluded.reasoning_tokens,
    prompt_audio_tokens = s.prompt_audio_tokens + excluded.prompt_audio_tokens,
    completion_audio_tokens = s.completion_audio_tokens + excluded.completion_audio_tokens,
    cost_nanousd = s.cost_nanousd + excluded.cost_nanousd,
    latency_us_min = least(s.latency_us_min, excluded.latency_us_min),
    latency_us_max = greatest(s.latency_us_max, excluded.latency_us_max),
    span_count = s.span_count + excluded.span_count,
    span_latency_us_sum = s.span_latency_us_sum + excluded.span_latency_us_sum
