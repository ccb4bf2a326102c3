-- Add folds to the sessions' rows, each key at most once, in key order: folds commute, and two workers that touch the
-- same rows meet in the same order. Parameters: parallel arrays, one entry a session; histograms and sets as the text of
-- an array. An error's place replaces an equal one: it is the same event, which has its path by now.
-- Index: sessions_pk. NOT idempotent: the caller's offset fence and its duplicate check make it happen once.
INSERT INTO sessions AS s (
    project_id, session_key, session_id, name, name_started_at, name_event_id, event_count, first_event_at,
    last_event_end_at, last_received_at, first_request_at, last_request_at, last_request_end_at, request_count,
    error_count, latency_us_sum, latency_histogram, prompt_tokens, completion_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, cost_nanousd,
    time_to_first_token_us_sum, time_to_first_token_count, unpriced_count, llm_count, tool_count, vector_db_count,
    data_count, span_count, user_ids, user_ids_more, models, models_more, providers, providers_more, properties,
    properties_more, last_end_event_id, last_is_error, last_error_at, last_error_event_id, last_error_type,
    last_error_message, last_error_path, ended_at, ended_event_id, outcome, outcome_reason
)
SELECT
    k.project_id, k.session_key, k.session_id, k.name, k.name_started_at, k.name_event_id, k.event_count,
    k.first_event_at, k.last_event_end_at, k.last_received_at, k.first_request_at, k.last_request_at,
    k.last_request_end_at, k.request_count, k.error_count, k.latency_us_sum, k.latency_histogram::bigint[],
    k.prompt_tokens, k.completion_tokens, k.cache_read_tokens, k.cache_write_tokens, k.reasoning_tokens,
    k.prompt_audio_tokens, k.completion_audio_tokens, k.cost_nanousd, k.time_to_first_token_us_sum,
    k.time_to_first_token_count, k.unpriced_count, k.llm_count, k.tool_count, k.vector_db_count, k.data_count,
    k.span_count, k.user_ids::text[], k.user_ids_more, k.models::text[], k.models_more, k.providers::text[],
    k.providers_more, k.properties::text[], k.properties_more, k.last_end_event_id, k.last_is_error,
    k.last_error_at, k.last_error_event_id, k.last_error_type, k.last_error_message, k.last_error_path, k.ended_at,
    k.ended_event_id, k.outcome, k.outcome_reason
FROM unnest(
    $1::integer[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[], $7::bigint[],
    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
    $13::timestamptz[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::bigint[], $19::bigint[],
    $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[],
    $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[],
    $34::text[], $35::boolean[], $36::text[], $37::boolean[], $38::text[], $39::boolean[], $40::text[],
    $41::boolean[], $42::uuid[], $43::boolean[], $44::timestamptz[], $45::uuid[], $46::text[], $47::text[],
    $48::text[], $49::timestamptz[], $50::uuid[], $51::text[], $52::text[]
) AS k (
    project_id, session_key, session_id, name, name_started_at, name_event_id, event_count, first_event_at,
    last_event_end_at, last_received_at, first_request_at, last_request_at, last_request_end_at, request_count,
    error_count, latency_us_sum, latency_histogram, prompt_tokens, completion_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, prompt_audio_tokens, completion_audio_tokens, cost_nanousd,
    time_to_first_token_us_sum, time_to_first_token_count, unpriced_count, llm_count, tool_count, vector_db_count,
    data_count, span_count, user_ids, user_ids_more, models, models_more, providers, providers_more, properties,
    properties_more, last_end_event_id, last_is_error, last_error_at, last_error_event_id, last_error_type,
    last_error_message, last_error_path, ended_at, ended_event_id, outcome, outcome_reason
)
ON CONFLICT ON CONSTRAINT sessions_pk DO UPDATE SET
    name = CASE
        WHEN (excluded.name_started_at, excluded.name_event_id) < (s.name_started_at, s.name_event_id)
            OR s.name_started_at IS NULL
        THEN excluded.name ELSE s.name END,
    name_started_at = CASE
        WHEN (excluded.name_started_at, excluded.name_event_id) < (s.name_started_at, s.name_event_id)
            OR s.name_started_at IS NULL
        THEN excluded.name_started_at ELSE s.name_started_at END,
    name_event_id = CASE
        WHEN (excluded.name_started_at, excluded.name_event_id) < (s.name_started_at, s.name_event_id)
            OR s.name_started_at IS NULL
        THEN excluded.name_event_id ELSE s.name_event_id END,
    event_count = s.event_count + excluded.event_count,
    first_event_at = least(s.first_event_at, excluded.first_event_at),
    last_event_end_at = greatest(s.last_event_end_at, excluded.last_event_end_at),
    last_received_at = greatest(s.last_received_at, excluded.last_received_at),
    first_request_at = least(s.first_request_at, excluded.first_request_at),
    last_request_at = greatest(s.last_request_at, excluded.last_request_at),
    last_request_end_at = greatest(s.last_request_end_at, excluded.last_request_end_at),
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
    time_to_first_token_us_sum = s.time_to_first_token_us_sum + excluded.time_to_first_token_us_sum,
    time_to_first_token_count = s.time_to_first_token_count + excluded.time_to_first_token_count,
    unpriced_count = s.unpriced_count + excluded.unpriced_count,
    llm_count = s.llm_count + excluded.llm_count,
    tool_count = s.tool_count + excluded.tool_count,
    vector_db_count = s.vector_db_count + excluded.vector_db_count,
    data_count = s.data_count + excluded.data_count,
    span_count = s.span_count + excluded.span_count,
    user_ids = CASE
        WHEN s.user_ids @> excluded.user_ids THEN s.user_ids
        ELSE ARRAY(
            SELECT u.member FROM unnest(s.user_ids || excluded.user_ids) AS u (member)
            GROUP BY u.member ORDER BY u.member COLLATE "C" LIMIT 16
        ) END,
    user_ids_more = s.user_ids_more OR excluded.user_ids_more OR CASE
        WHEN cardinality(s.user_ids) + cardinality(excluded.user_ids) <= 16 THEN false
        ELSE (SELECT count(DISTINCT u.member) > 16 FROM unnest(s.user_ids || excluded.user_ids) AS u (member)) END,
    models = CASE
        WHEN s.models @> excluded.models THEN s.models
        ELSE ARRAY(
            SELECT u.member FROM unnest(s.models || excluded.models) AS u (member)
            GROUP BY u.member ORDER BY u.member COLLATE "C" LIMIT 16
        ) END,
    models_more = s.models_more OR excluded.models_more OR CASE
        WHEN cardinality(s.models) + cardinality(excluded.models) <= 16 THEN false
        ELSE (SELECT count(DISTINCT u.member) > 16 FROM unnest(s.models || excluded.models) AS u (member)) END,
    providers = CASE
        WHEN s.providers @> excluded.providers THEN s.providers
        ELSE ARRAY(
            SELECT u.member FROM unnest(s.providers || excluded.providers) AS u (member)
            GROUP BY u.member ORDER BY u.member COLLATE "C" LIMIT 16
        ) END,
    providers_more = s.providers_more OR excluded.providers_more OR CASE
        WHEN cardinality(s.providers) + cardinality(excluded.providers) <= 16 THEN false
        ELSE (SELECT count(DISTINCT u.member) > 16 FROM unnest(s.providers || excluded.providers) AS u (member)) END,
    properties = CASE
        WHEN s.properties @> excluded.properties THEN s.properties
        ELSE ARRAY(
            SELECT u.member FROM unnest(s.properties || excluded.properties) AS u (member)
            GROUP BY u.member ORDER BY u.member COLLATE "C" LIMIT 16
        ) END,
    properties_more = s.properties_more OR excluded.properties_more OR CASE
        WHEN cardinality(s.properties) + cardinality(excluded.properties) <= 16 THEN false
        ELSE (SELECT count(DISTINCT u.member) > 16 FROM unnest(s.properties || excluded.properties) AS u (member)) END,
    last_end_event_id = CASE
        WHEN (excluded.last_event_end_at, excluded.last_end_event_id) > (s.last_event_end_at, s.last_end_event_id)
        THEN excluded.last_end_event_id ELSE s.last_end_event_id END,
    last_is_error = CASE
        WHEN (excluded.last_event_end_at, excluded.last_end_event_id) > (s.last_event_end_at, s.last_end_event_id)
        THEN excluded.last_is_error ELSE s.last_is_error END,
    last_error_at = CASE
        WHEN (excluded.last_error_at, excluded.last_error_event_id) >= (s.last_error_at, s.last_error_event_id)
            OR s.last_error_at IS NULL
        THEN excluded.last_error_at ELSE s.last_error_at END,
    last_error_event_id = CASE
        WHEN (excluded.last_error_at, excluded.last_error_event_id) >= (s.last_error_at, s.last_error_event_id)
            OR s.last_error_at IS NULL
        THEN excluded.last_error_event_id ELSE s.last_error_event_id END,
    last_error_type = CASE
        WHEN (excluded.last_error_at, excluded.last_error_event_id) >= (s.last_error_at, s.last_error_event_id)
            OR s.last_error_at IS NULL
        THEN excluded.last_error_type ELSE s.last_error_type END,
    last_error_message = CASE
        WHEN (excluded.last_error_at, excluded.last_error_event_id) >= (s.last_error_at, s.last_error_event_id)
            OR s.last_error_at IS NULL
        THEN excluded.last_error_message ELSE s.last_error_message END,
    last_error_path = CASE
        WHEN (excluded.last_error_at, excluded.last_error_event_id) >= (s.last_error_at, s.last_error_event_id)
            OR s.last_error_at IS NULL
        THEN excluded.last_error_path ELSE s.last_error_path END,
    ended_at = CASE
        WHEN (excluded.ended_at, excluded.ended_event_id) > (s.ended_at, s.ended_event_id) OR s.ended_at IS NULL
        THEN excluded.ended_at ELSE s.ended_at END,
    ended_event_id = CASE
        WHEN (excluded.ended_at, excluded.ended_event_id) > (s.ended_at, s.ended_event_id) OR s.ended_at IS NULL
        THEN excluded.ended_event_id ELSE s.ended_event_id END,
    outcome = CASE
        WHEN (excluded.ended_at, excluded.ended_event_id) > (s.ended_at, s.ended_event_id) OR s.ended_at IS NULL
        THEN excluded.outcome ELSE s.outcome END,
    outcome_reason = CASE
        WHEN (excluded.ended_at, excluded.ended_event_id) > (s.ended_at, s.ended_event_id) OR s.ended_at IS NULL
        THEN excluded.outcome_reason ELSE s.outcome_reason END
