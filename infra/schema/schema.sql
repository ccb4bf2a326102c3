-- What all generations share of the schema of Pathline as it is today, table by table; generation.sql is what each has of
-- its own, in a schema `generation_<number>`. The truth that a reader reads; the truth that a database gets is the sum of
-- migrations/, and tests/migration proves that the two are equal.
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

-- Generations: full sets of derived tables, each in its own schema, made by decoding the same records. One is served, through
-- views of the same names in this schema; a second is being built, or stands by until it is dropped.
CREATE TABLE generations (
    number smallint CONSTRAINT generations_pk PRIMARY KEY CONSTRAINT generation_is_positive CHECK (number > 0),
    state text NOT NULL CONSTRAINT generation_state_is_known CHECK (state IN ('building', 'served', 'standby')),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Of the code that began to build it; null of the first one.
    code_version text,
    -- From which broker time on the topics were read again; null: from their beginning.
    replay_from timestamptz,
    -- How far the stored records are decoded that the topics lack: the key of the last one; null: none yet.
    read_day date,
    read_project integer,
    read_event uuid,
    records_are_read boolean NOT NULL DEFAULT false
);

-- At most one other exists; commands see to that.
CREATE UNIQUE INDEX one_generation_is_served ON generations (state) WHERE state = 'served';

INSERT INTO generations (number, state, records_are_read) VALUES (1, 'served', true);

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
    -- The generations whose rows of this partition its owner moves together, this one among them. Empty while a replay
    -- catches up with them.
    fed_with smallint[] NOT NULL,
    -- From where on the records were counted, and what became of them: their sum is what next_offset has moved since.
    counted_from bigint NOT NULL CONSTRAINT counted_from_is_not_negative CHECK (counted_from >= 0),
    stored_count bigint NOT NULL DEFAULT 0,
    -- Spans that are only a link of their trace.
    structural_count bigint NOT NULL DEFAULT 0,
    duplicate_count bigint NOT NULL DEFAULT 0,
    -- Of the duplicates, those with other content.
    conflict_count bigint NOT NULL DEFAULT 0,
    -- Records that start before what is stored of their project, and records that were dropped.
    expired_count bigint NOT NULL DEFAULT 0,
    dead_letter_count bigint NOT NULL DEFAULT 0,
    drop_count bigint NOT NULL DEFAULT 0,
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

-- Generations that a worker stopped because too many records became dead letters. Of the served one, the row holds every
-- worker up until `python -m processors resume` takes it away.
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
    -- Where it lay; null of what was stored before that was kept. A span's log_time is its broker time (see trace_spans).
    topic text,
    partition integer,
    "offset" bigint,
    log_time timestamptz,
    CONSTRAINT records_pk PRIMARY KEY (project_id, day, event_id)
) PARTITION BY LIST (day);

-- Create and attach the partitions of one day of `records` and of every generation's `requests`; nothing when they exist.
-- ATTACH takes a lock that lets readers and writers of the other days go on, which CREATE ... PARTITION OF does not.
CREATE FUNCTION ensure_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    home text;
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pathline.ensure_day'));
    FOR home, parent IN
        SELECT 'public', 'records'
        UNION ALL
        SELECT format('generation_%s', number), 'requests' FROM public.generations
    LOOP
        part := format('%s_%s', parent, to_char(wanted, 'YYYYMMDD'));
        IF to_regclass(format('%I.%I', home, part)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING ALL)', home, part, home, parent);
            EXECUTE format('ALTER TABLE %I.%I ATTACH PARTITION %I.%I FOR VALUES IN (%L)', home, parent, home, part, wanted);
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

-- Drop the views onto derived tables, as a migration of those must before it changes them.
CREATE FUNCTION hide_generation() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT DISTINCT v.relname FROM pg_class AS v
        JOIN pg_class AS t ON t.relname = v.relname AND t.relkind IN ('r', 'p')
        JOIN public.generations AS g ON t.relnamespace = to_regnamespace(format('generation_%s', g.number))
        WHERE v.relnamespace = 'public'::regnamespace AND v.relkind = 'v'
        ORDER BY 1
    LOOP
        EXECUTE format('DROP VIEW public.%I', name);
    END LOOP;
END
$$;

-- Make the views through which everybody reads: one of its name for each table of the served generation.
CREATE FUNCTION show_generation() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    home text;
    name text;
BEGIN
    PERFORM public.hide_generation();
    SELECT format('generation_%s', number) INTO home FROM public.generations WHERE state = 'served';
    FOR name IN
        SELECT relname FROM pg_class
        WHERE relnamespace = to_regnamespace(home) AND relkind IN ('r', 'p') AND NOT relispartition
        ORDER BY 1
    LOOP
        EXECUTE format('CREATE VIEW public.%I AS SELECT * FROM %I.%I', name, home, name);
    END LOOP;
END
$$;
