-- Alerts: what is to be sent, and the sessions that have failed if nothing more comes.
CREATE TABLE alerts (
    alert_id uuid DEFAULT gen_random_uuid() CONSTRAINT alerts_pk PRIMARY KEY,
    project_id integer NOT NULL,
    session_key uuid NOT NULL,
    rule text NOT NULL,
    kind text NOT NULL,
    threshold double precision,
    session_id text NOT NULL,
    session_name text,
    request_count bigint NOT NULL,
    error_count bigint NOT NULL,
    cost_nanousd bigint NOT NULL,
    duration_us bigint NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'pending' CONSTRAINT alert_state_is_known CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    delivered_at timestamptz,
    CONSTRAINT alerts_fire_once UNIQUE (project_id, session_key, rule)
);

CREATE INDEX alerts_pending ON alerts (project_id, next_attempt_at) WHERE state = 'pending';

CREATE INDEX alerts_by_time ON alerts (project_id, fired_at DESC);

CREATE TABLE failure_watches (
    project_id integer NOT NULL,
    session_key uuid NOT NULL,
    due_at timestamptz NOT NULL,
    CONSTRAINT failure_watches_pk PRIMARY KEY (project_id, session_key)
);

CREATE INDEX failure_watches_by_due ON failure_watches (due_at);
