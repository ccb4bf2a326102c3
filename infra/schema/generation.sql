-- One generation of derived tables, as migrations leave it in each schema `generation_<number>`; it is run with that schema
-- first in the search path. See schema.sql for what all generations share, and for the rules that hold everywhere.

-- Requests: every event that was decoded, of every kind (`span` and `session_end` are events but not requests).
CREATE TABLE requests (
    project_id integer NOT NULL,
    day date NOT NULL,
    event_id uuid NOT NULL,
    kind text NOT NULL CONSTRAINT kind_is_known CHECK (kind IN ('llm', 'tool', 'vector_db', 'data', 'span', 'session_end')),
    -- Hashes of the session id and of the normalised path; null without a session. Of a span in a session the path's is
    -- null too until its path and session name are decided: then path roll-ups take it.
    session_key uuid,
    path_key uuid,
    session_id text,
    session_name text,
    -- As sent; null when the client sent none. Of a span, the path that its trace gives it.
    session_path text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL CONSTRAINT end_is_not_before_start CHECK (ended_at >= started_at),
    time_to_first_token_us bigint CONSTRAINT time_to_first_token_is_not_negative CHECK (time_to_first_token_us >= 0),
    status smallint NOT NULL CONSTRAINT status_is_in_range CHECK (status BETWEEN -999 AND 999),
    is_error boolean NOT NULL,
    error_type text,
    error_message text,
    provider text NOT NULL,
    model text NOT NULL,
    request_model text,
    response_model text,
    model_override text,
    target_url text NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    prompt_audio_tokens bigint NOT NULL,
    completion_audio_tokens bigint NOT NULL,
    -- Null: the client reported no cost and no price is known.
    cost_nanousd bigint CONSTRAINT cost_is_in_range CHECK (cost_nanousd BETWEEN 0 AND 1000000000000000),
    user_id text NOT NULL,
    -- Properties as strings, without the session's id, name and path, which have columns.
    properties jsonb NOT NULL,
    trace_id text,
    span_id text,
    parent_span_id text,
    source text NOT NULL,
    received_at timestamptz NOT NULL,
    -- What decoding had to bend, e.g. `tokens_clamped`.
    flags text[] NOT NULL,
    -- Only where decoding made another body than was received (a folded stream); readers take this one first.
    decoded_response_body text,
    -- The same for the request (a span's attributes).
    decoded_request_body text,
    -- The price table's version, if the cost was computed with one.
    price_version text,
    CONSTRAINT requests_pk PRIMARY KEY (project_id, day, event_id),
    CONSTRAINT tokens_are_in_range CHECK (
        prompt_tokens BETWEEN 0 AND 1099511627776 AND completion_tokens BETWEEN 0 AND 1099511627776
        AND cache_read_tokens BETWEEN 0 AND 1099511627776 AND cache_write_tokens BETWEEN 0 AND 1099511627776
        AND reasoning_tokens BETWEEN 0 AND 1099511627776 AND prompt_audio_tokens BETWEEN 0 AND 1099511627776
        AND completion_audio_tokens BETWEEN 0 AND 1099511627776
    )
) PARTITION BY LIST (day);

-- The requests of one session in order; also what a session that straddles a time window is recomputed from.
CREATE INDEX requests_by_session ON requests (project_id, session_key, started_at, event_id) WHERE session_key IS NOT NULL;

-- The requests of a project in order of time.
CREATE INDEX requests_by_start ON requests (project_id, started_at, event_id);

-- What nobody has a price for, to list it.
CREATE INDEX requests_unpriced ON requests (project_id, started_at)
    WHERE cost_nanousd IS NULL AND kind = 'llm' AND prompt_tokens + completion_tokens > 0;

-- Sessions, rolled up. `*_request_*` columns cover requests, `*_event_*` columns every event of the session.
CREATE TABLE sessions (
    project_id integer NOT NULL,
    session_key uuid NOT NULL,
    session_id text NOT NULL,
    -- Name of the earliest event that has one, by (started_at, event_id), and that event's place.
    name text,
    name_started_at timestamptz,
    name_event_id uuid,
    event_count bigint NOT NULL,
    first_event_at timestamptz NOT NULL,
    last_event_end_at timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    -- Null while the session has no request.
    first_request_at timestamptz,
    last_request_at timestamptz,
    last_request_end_at timestamptz,
    request_count bigint NOT NULL,
    error_count bigint NOT NULL,
    latency_us_sum bigint NOT NULL,
    time_to_first_token_us_sum bigint NOT NULL,
    time_to_first_token_count bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    prompt_audio_tokens bigint NOT NULL,
    completion_audio_tokens bigint NOT NULL,
    cost_nanousd bigint NOT NULL,
    unpriced_count bigint NOT NULL,
    -- The smallest user ids without "", at most 16 of them, and whether more exist (then the requests answer).
    user_ids text[] NOT NULL,
    user_ids_more boolean NOT NULL,
    -- The event with the greatest (ended_at, event_id), spans included: was it an error?
    last_end_event_id uuid NOT NULL,
    last_is_error boolean NOT NULL,
    -- The end event with the greatest (started_at, event_id).
    ended_at timestamptz,
    ended_event_id uuid,
    outcome text CONSTRAINT outcome_is_known CHECK (outcome IN ('completed', 'failed')),
    outcome_reason text,
    -- Events of each kind; what is left of event_count are end events.
    llm_count bigint NOT NULL,
    tool_count bigint NOT NULL,
    vector_db_count bigint NOT NULL,
    data_count bigint NOT NULL,
    span_count bigint NOT NULL,
    -- Of the requests' durations: bucket * 2^32 + count of each bucket that is not empty, sorted. The buckets are those of
    -- `processors.histogram`.
    latency_histogram bigint[] NOT NULL,
    -- Sets as user_ids is one: of the requests' labels, of their providers, and of their properties as '["name","value"]'.
    -- A member of more than 1,024 characters is left out, and marks its set.
    models text[] NOT NULL,
    models_more boolean NOT NULL,
    providers text[] NOT NULL,
    providers_more boolean NOT NULL,
    properties text[] NOT NULL,
    properties_more boolean NOT NULL,
    -- The event with the greatest (ended_at, event_id) among those that are errors, spans included: its end, id, type, the
    -- message's first 500 characters, and the normalised path.
    last_error_at timestamptz,
    last_error_event_id uuid,
    last_error_type text,
    last_error_message text,
    last_error_path text,
    CONSTRAINT sessions_pk PRIMARY KEY (project_id, session_key)
) WITH (fillfactor = 80);

-- The newest sessions of a project by their events, of whatever kind.
CREATE INDEX sessions_by_first_event ON sessions (project_id, first_event_at DESC, session_key DESC);

-- The newest sessions of a project by their requests.
CREATE INDEX sessions_by_first_request ON sessions (project_id, first_request_at DESC, session_id) WHERE first_request_at IS NOT NULL;

-- One row per session and normalised path that has events of its own; the inner nodes of the tree are derived when read.
CREATE TABLE session_paths (
    project_id integer NOT NULL,
    session_key uuid NOT NULL,
    path_key uuid NOT NULL,
    path text NOT NULL,
    request_count bigint NOT NULL,
    error_count bigint NOT NULL,
    latency_us_sum bigint NOT NULL,
    latency_us_min bigint,
    latency_us_max bigint,
    span_count bigint NOT NULL,
    span_latency_us_sum bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    prompt_audio_tokens bigint NOT NULL,
    completion_audio_tokens bigint NOT NULL,
    cost_nanousd bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_end_at timestamptz NOT NULL,
    -- As in `sessions`.
    latency_histogram bigint[] NOT NULL,
    CONSTRAINT session_paths_pk PRIMARY KEY (project_id, session_key, path_key)
) WITH (fillfactor = 80);

-- Across sessions: one row per session name that the requests themselves carry, normalised path, hour of their start (UTC),
-- and partition that they came by, so that workers never wait for each other's rows; reads sum over the partitions.
-- Events without a session are in none.
CREATE TABLE path_hours (
    project_id integer NOT NULL,
    hour timestamptz NOT NULL,
    -- Hash of the session name, which is '' where the request carries none.
    name_key uuid NOT NULL,
    path_key uuid NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    session_name text NOT NULL,
    path text NOT NULL,
    request_count bigint NOT NULL,
    error_count bigint NOT NULL,
    latency_us_sum bigint NOT NULL,
    latency_us_min bigint,
    latency_us_max bigint,
    latency_histogram bigint[] NOT NULL,
    span_count bigint NOT NULL,
    span_latency_us_sum bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    prompt_audio_tokens bigint NOT NULL,
    completion_audio_tokens bigint NOT NULL,
    cost_nanousd bigint NOT NULL,
    CONSTRAINT path_hours_pk PRIMARY KEY (project_id, hour, name_key, path_key, topic, partition)
) WITH (fillfactor = 80);

-- What a project's events name, for pick lists, with a row for each partition that they came by; reads sum over these.
-- Session names of events of any kind, users and properties of requests, with or without a session.
CREATE TABLE catalogue (
    project_id integer NOT NULL,
    kind text NOT NULL CONSTRAINT catalogue_kind_is_known CHECK (kind IN ('session_name', 'user', 'property')),
    topic text NOT NULL,
    partition integer NOT NULL,
    name_key uuid NOT NULL,
    value_key uuid NOT NULL,
    -- The property's name; '' in the other lists.
    name text NOT NULL,
    -- '' stands for all that is empty or longer than 200 characters.
    value text NOT NULL,
    use_count bigint NOT NULL,
    first_used_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT catalogue_pk PRIMARY KEY (project_id, kind, topic, partition, name_key, value_key)
) WITH (fillfactor = 80);

-- What is remembered of every OpenTelemetry span, structural ones too, while it can be an ancestor or wait for one. A trace
-- lies in one partition of the spans' topic, whose row in `offsets` is the lock of all its rows.
CREATE TABLE trace_spans (
    project_id integer NOT NULL,
    trace_id uuid NOT NULL,
    -- 16 hexadecimal digits, like every span id here.
    span_id text NOT NULL,
    parent_span_id text,
    -- Where its first copy lies on the topic, the broker time of that, never less than that of what lies before it, and
    -- when its join window closes.
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    log_time timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    -- Of what the client sent, as in `records`.
    content_hash uuid NOT NULL,
    -- Key of the event that it became; null for structural spans.
    day date,
    event_id uuid,
    -- The span's own, not inherited.
    session_id text,
    session_name text,
    user_id text,
    explicit_path text,
    segment text,
    reports_usage boolean NOT NULL,
    trace_as_session boolean NOT NULL,
    -- Its event waits for an ancestor, of which the nearest that is missing is named; and what the event has for good.
    is_open boolean NOT NULL,
    waits_for text,
    has_session boolean NOT NULL,
    has_name boolean NOT NULL,
    has_user boolean NOT NULL,
    has_path boolean NOT NULL,
    -- The nested span whose tokens and cost count in place of this one's, how deep below it, and where in the log.
    usage_counted_by text,
    counted_by_distance integer NOT NULL,
    counted_by_offset bigint NOT NULL,
    -- More spans waited for it when it came than one transaction joins; the next ones go on.
    has_waiting boolean NOT NULL DEFAULT false,
    CONSTRAINT trace_spans_pk PRIMARY KEY (project_id, trace_id, span_id),
    CONSTRAINT only_open_spans_wait CHECK (is_open = (waits_for IS NOT NULL))
) WITH (fillfactor = 80);

-- Who waits for a span that has arrived.
CREATE INDEX trace_spans_by_missing_ancestor ON trace_spans (project_id, trace_id, waits_for) WHERE waits_for IS NOT NULL;

-- Whose window closes next.
CREATE INDEX trace_spans_by_closing ON trace_spans (partition, closes_at) WHERE is_open;

-- Who can be forgotten.
CREATE INDEX trace_spans_by_window ON trace_spans (partition, closes_at);

-- Whose waiting spans are not all joined yet.
CREATE INDEX trace_spans_with_waiting ON trace_spans (partition) WHERE has_waiting;
