-- The trace join: what is remembered of spans, how far a partition's broker time has come, and a request's decoded body.
ALTER TABLE requests ADD COLUMN decoded_request_body text;

ALTER TABLE offsets ADD COLUMN log_time timestamptz, ADD COLUMN log_time_seen_at timestamptz;

CREATE TABLE trace_spans (
    project_id integer NOT NULL,
    trace_id uuid NOT NULL,
    span_id text NOT NULL,
    parent_span_id text,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    log_time timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    content_hash uuid NOT NULL,
    day date,
    event_id uuid,
    session_id text,
    session_name text,
    user_id text,
    explicit_path text,
    segment text,
    reports_usage boolean NOT NULL,
    trace_as_session boolean NOT NULL,
    is_open boolean NOT NULL,
    waits_for text,
    has_session boolean NOT NULL,
    has_name boolean NOT NULL,
    has_user boolean NOT NULL,
    has_path boolean NOT NULL,
    usage_counted_by text,
    counted_by_distance integer NOT NULL,
    counted_by_offset bigint NOT NULL,
    has_waiting boolean NOT NULL DEFAULT false,
    CONSTRAINT trace_spans_pk PRIMARY KEY (project_id, trace_id, span_id),
    CONSTRAINT only_open_spans_wait CHECK (is_open = (waits_for IS NOT NULL))
) WITH (fillfactor = 80);

CREATE INDEX trace_spans_by_missing_ancestor ON trace_spans (project_id, trace_id, waits_for) WHERE waits_for IS NOT NULL;

CREATE INDEX trace_spans_by_closing ON trace_spans (partition, closes_at) WHERE is_open;

CREATE INDEX trace_spans_by_window ON trace_spans (partition, closes_at);

CREATE INDEX trace_spans_with_waiting ON trace_spans (partition) WHERE has_waiting;
