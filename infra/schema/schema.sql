-- The whole schema of Pathline as it is today, table by table. The truth that a reader reads; the truth that a
-- database gets is the sum of migrations/, and tests/migration proves that the two are equal.
--
-- Rules that hold everywhere
--   Every key begins with the project. Text of free length never stands in a key: a 128-bit hash of it does, stored
--   as uuid, and the text is kept once beside it.
--   Bodies are text, never jsonb: jsonb refuses NUL and rewrites numbers, and what was sent must come back.
--   Amounts are integers: microseconds, nano-USD, counts. Times are timestamptz, which Postgres keeps to the microsecond.
--   Every roll-up column is a count, a sum, a min, a max, or the value of an extreme event by (time, id): folding in any
--   order, any batching, gives the same row.

-- Projects: one tenant each. Nothing is shared between two of them.
CREATE TABLE projects (
    project_id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT projects_pk PRIMARY KEY,
    name text NOT NULL CONSTRAINT projects_name_is_unique UNIQUE,
    -- The current one of its settings.
    settings_version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Settings of a project in versions. A row never changes: every record names the version that it was received under,
-- and is decoded by it for ever.
CREATE TABLE project_settings (
    project_id integer NOT NULL CONSTRAINT project_settings_have_project REFERENCES projects,
    version integer NOT NULL CONSTRAINT settings_version_is_positive CHECK (version > 0),
    -- JSON without the defaults, as `infra.project_settings.settings_text` writes it.
    settings text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT project_settings_pk PRIMARY KEY (project_id, version)
);

-- The two tables name each other: a project and its first version are made by one statement.
ALTER TABLE projects ADD CONSTRAINT current_settings_exist
    FOREIGN KEY (project_id, settings_version) REFERENCES project_settings (project_id, version);

-- API keys. Only the SHA-256 of "Bearer " || key is stored, the form that Helicone stores too, so that its keys move.
CREATE TABLE api_keys (
    key_hash bytea CONSTRAINT api_keys_pk PRIMARY KEY CONSTRAINT key_hash_is_sha256 CHECK (length(key_hash) = 32),
    project_id integer NOT NULL CONSTRAINT api_key_has_project REFERENCES projects,
    name text NOT NULL,
    can_read boolean NOT NULL,
    can_write boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When it stops: in the future for a key that was rotated.
    revoked_at timestamptz
);

-- How far each partition of a topic has been folded. The row is the fence: a batch moves it from the offset that it
-- expects, in its own transaction, or does not happen. Kafka's committed offset is only a lag figure.
CREATE TABLE offsets (
    generation smallint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    -- The first offset that is not folded yet.
    next_offset bigint NOT NULL CONSTRAINT next_offset_is_not_negative CHECK (next_offset >= 0),
    -- The log that the offsets belong to, `<cluster id>/<topic id>`; another log's numbers mean nothing.
    cluster_id text NOT NULL,
    -- End of the partition when the owner last looked, and the broker time up to which everything is folded.
    end_offset bigint NOT NULL,
    as_of timestamptz,
    observed_at timestamptz NOT NULL DEFAULT now(),
    -- The greatest time stamp of what was folded, and when, by this database's clock, it was: the broker's clock cannot
    -- be behind log_time by now, nor behind what has passed since.
    log_time timestamptz,
    log_time_seen_at timestamptz,
    CONSTRAINT offsets_pk PRIMARY KEY (generation, topic, partition)
);

-- Records that could not become events, written in the transaction that moves the offset past them.
CREATE TABLE dead_letters (
    generation smallint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    -- Key and value exactly as they lay on the topic; null where Kafka had none.
    record_key bytea,
    record bytea,
    -- Where it failed (decode, store), the stable code of the fault, and the text for a person.
    step text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 1,
    -- open: nobody has decided. requeue: its partition's worker is to try again. drop: never to become an event, in any
    -- generation. done: it became one, or a copy of one.
    state text NOT NULL DEFAULT 'open' CONSTRAINT dead_letter_state_is_known CHECK (state IN ('open', 'requeue', 'drop', 'done')),
    -- The broker's time of the record, and when it was last tried: of a done one, when that was.
    log_time timestamptz NOT NULL DEFAULT now(),
    tried_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letters_pk PRIMARY KEY (generation, topic, partition, "offset")
);

-- What workers look for: letters to try again, and records to pass over in whatever generation.
CREATE INDEX dead_letters_by_wanted_state ON dead_letters (topic, partition, "offset")
    WHERE state IN ('requeue', 'drop');

-- Generations that a worker stopped because too many records became dead letters. The row holds every worker up until
-- `python -m processors resume` takes it away.
CREATE TABLE stopped_generations (
    generation smallint NOT NULL CONSTRAINT stopped_generations_pk PRIMARY KEY,
    stopped_at timestamptz NOT NULL DEFAULT now(),
    topic text NOT NULL,
    -- Of how many records how many failed, by reason; the most frequent first.
    seen_count integer NOT NULL,
    reasons text[] NOT NULL,
    reason_counts integer[] NOT NULL
);

-- From which UTC day on the requests of a project are stored. Earlier ones left, or are leaving, by its retention: a copy
-- of one could not be told from a new event any more, so none that starts earlier is stored or counted again.
CREATE TABLE requests_since (
    project_id integer CONSTRAINT requests_since_pk PRIMARY KEY CONSTRAINT requests_since_have_project REFERENCES projects,
    day date NOT NULL
);

-- Sessions that failed, cost too much, … by a rule of their project: what is to be sent to the project's webhook, and what
-- became of it. Outside the generations. One row a session and rule, for as long as the session: a rule fires once.
CREATE TABLE alerts (
    -- What receivers know it by, at every attempt.
    alert_id uuid DEFAULT gen_random_uuid() CONSTRAINT alerts_pk PRIMARY KEY,
    project_id integer NOT NULL,
    session_key uuid NOT NULL,
    -- The rule's name, kind and threshold (in the unit of the setting; null for failed sessions) when it fired.
    rule text NOT NULL,
    kind text NOT NULL,
    threshold double precision,
    -- The session as it was then.
    session_id text NOT NULL,
    session_name text,
    request_count bigint NOT NULL,
    error_count bigint NOT NULL,
    cost_nanousd bigint NOT NULL,
    duration_us bigint NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT now(),
    -- pending: to be sent, or sent again. delivered: the receiver took it. failed: it was given up.
    state text NOT NULL DEFAULT 'pending' CONSTRAINT alert_state_is_known CHECK (state IN ('pending', 'delivered', 'failed')),
    -- Those that were begun; the one that was begun last ends before next_attempt_at, or was lost.
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    delivered_at timestamptz,
    CONSTRAINT alerts_fire_once UNIQUE (project_id, session_key, rule)
);

-- What is to be sent next, by project.
CREATE INDEX alerts_pending ON alerts (project_id, next_attempt_at) WHERE state = 'pending';

-- The newest alerts of a project.
CREATE INDEX alerts_by_time ON alerts (project_id, fired_at DESC);

-- Sessions whose latest event is an error, and when they have failed by idleness if nothing more comes; maybe it came. Only
-- of projects with a rule for failed sessions: an index on sessions would be written at every change of every session.
CREATE TABLE failure_watches (
    project_id integer NOT NULL,
    session_key uuid NOT NULL,
    due_at timestamptz NOT NULL,
    CONSTRAINT failure_watches_pk PRIMARY KEY (project_id, session_key)
);

-- Who is due.
CREATE INDEX failure_watches_by_due ON failure_watches (due_at);

-- Records: what was received, once per event, shared by all generations. `envelope` is the record without its bodies.
-- Partitioned by `day`, the UTC day of the start; days far from the receipt lie in the ordinary partition 0001-01-01.
CREATE TABLE records (
    project_id integer NOT NULL,
    day date NOT NULL,
    event_id uuid NOT NULL,
    -- Hash of the client's own content: a copy with another one is a conflict, which is counted, not stored.
    content_hash uuid NOT NULL,
    envelope text NOT NULL,
    request_body text,
    response_body text,
    CONSTRAINT records_pk PRIMARY KEY (project_id, day, event_id)
) PARTITION BY LIST (day);

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
    -- '' stands for all that is empty or longer than 200 characters, or beyond the bound: a list (project, kind, name) of a
    -- partition has the thousand values with the smallest keys.
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

-- Create and attach the partitions of one day of `records` and `requests`; nothing when they exist. ATTACH takes a lock
-- that lets readers and writers of the other days go on, which CREATE ... PARTITION OF does not.
CREATE FUNCTION ensure_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pathline.ensure_day'));
    FOREACH parent IN ARRAY ARRAY['records', 'requests'] LOOP
        part := format('%s_%s', parent, to_char(wanted, 'YYYYMMDD'));
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES IN (%L)', parent, part, wanted);
        END IF;
    END LOOP;
END
$$;

-- Drop the partitions of one day, of records and of the requests of every generation; how many there were.
CREATE FUNCTION drop_day(unwanted date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    parts text;
BEGIN
    SELECT string_agg(i.inhrelid::regclass::text, ', ' ORDER BY n.nspname, p.relname DESC) INTO parts
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_class AS p ON p.oid = i.inhparent
    JOIN pg_namespace AS n ON n.oid = p.relnamespace
    WHERE p.relname IN ('records', 'requests') AND p.relkind = 'p'
        AND pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES IN (%L)', unwanted);
    IF parts IS NOT NULL THEN
        EXECUTE 'DROP TABLE ' || parts;
    END IF;
    RETURN coalesce(cardinality(string_to_array(parts, ', ')), 0);
END
$$;

-- The ordinary partition for days outside [receipt - 400 days, receipt + 2 days].
SELECT ensure_day('0001-01-01');
