-- The roll-ups, complete: histograms, sets and the last error of a session, paths across sessions, the catalogue.
-- What was rolled up before has empty ones; a replay fills them.
ALTER TABLE sessions
    ADD COLUMN llm_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN tool_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN vector_db_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN data_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN span_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN latency_histogram bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN models text[] NOT NULL DEFAULT '{}',
    ADD COLUMN models_more boolean NOT NULL DEFAULT false,
    ADD COLUMN providers text[] NOT NULL DEFAULT '{}',
    ADD COLUMN providers_more boolean NOT NULL DEFAULT false,
    ADD COLUMN properties text[] NOT NULL DEFAULT '{}',
    ADD COLUMN properties_more boolean NOT NULL DEFAULT false,
    ADD COLUMN last_error_at timestamptz,
    ADD COLUMN last_error_event_id uuid,
    ADD COLUMN last_error_type text,
    ADD COLUMN last_error_message text,
    ADD COLUMN last_error_path text;

ALTER TABLE sessions
    ALTER COLUMN llm_count DROP DEFAULT,
    ALTER COLUMN tool_count DROP DEFAULT,
    ALTER COLUMN vector_db_count DROP DEFAULT,
    ALTER COLUMN data_count DROP DEFAULT,
    ALTER COLUMN span_count DROP DEFAULT,
    ALTER COLUMN latency_histogram DROP DEFAULT,
    ALTER COLUMN models DROP DEFAULT,
    ALTER COLUMN models_more DROP DEFAULT,
    ALTER COLUMN providers DROP DEFAULT,
    ALTER COLUMN providers_more DROP DEFAULT,
    ALTER COLUMN properties DROP DEFAULT,
    ALTER COLUMN properties_more DROP DEFAULT;

ALTER TABLE session_paths
    ADD COLUMN latency_histogram bigint[] NOT NULL DEFAULT '{}';

ALTER TABLE session_paths
    ALTER COLUMN latency_histogram DROP DEFAULT;

CREATE TABLE path_hours (
    project_id integer NOT NULL,
    hour timestamptz NOT NULL,
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

CREATE TABLE catalogue (
    project_id integer NOT NULL,
    kind text NOT NULL CONSTRAINT catalogue_kind_is_known CHECK (kind IN ('session_name', 'user', 'property')),
    topic text NOT NULL,
    partition integer NOT NULL,
    name_key uuid NOT NULL,
    value_key uuid NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    use_count bigint NOT NULL,
    first_used_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT catalogue_pk PRIMARY KEY (project_id, kind, topic, partition, name_key, value_key)
) WITH (fillfactor = 80);
