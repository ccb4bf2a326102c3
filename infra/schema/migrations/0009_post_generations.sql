-- Derived tables move into a schema of their own, the first generation; views take their names. `post`: older code writes
-- to tables where the views are now.
CREATE TABLE generations (
    number smallint CONSTRAINT generations_pk PRIMARY KEY CONSTRAINT generation_is_positive CHECK (number > 0),
    state text NOT NULL CONSTRAINT generation_state_is_known CHECK (state IN ('building', 'served', 'standby')),
    created_at timestamptz NOT NULL DEFAULT now(),
    code_version text,
    replay_from timestamptz,
    read_day date,
    read_project integer,
    read_event uuid,
    records_are_read boolean NOT NULL DEFAULT false
);

-- At most one other exists; commands see to that.
CREATE UNIQUE INDEX one_generation_is_served ON generations (state) WHERE state = 'served';

INSERT INTO generations (number, state, records_are_read) VALUES (1, 'served', true);

ALTER TABLE offsets
    ADD COLUMN fed_with smallint[] NOT NULL DEFAULT ARRAY[1],
    ADD COLUMN counted_from bigint NOT NULL DEFAULT 0 CONSTRAINT counted_from_is_not_negative CHECK (counted_from >= 0),
    ADD COLUMN stored_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN structural_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN duplicate_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN conflict_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN expired_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN dead_letter_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN drop_count bigint NOT NULL DEFAULT 0;

ALTER TABLE offsets ALTER COLUMN fed_with DROP DEFAULT, ALTER COLUMN counted_from DROP DEFAULT;

-- What was read before was not counted.
UPDATE offsets SET counted_from = next_offset;

ALTER TABLE records
    ADD COLUMN topic text,
    ADD COLUMN partition integer,
    ADD COLUMN "offset" bigint,
    ADD COLUMN log_time timestamptz;

CREATE SCHEMA generation_1;

DO $$
DECLARE
    derived text;
BEGIN
    FOR derived IN
        SELECT c.relname FROM pg_class AS c
        LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND (
                c.relname IN ('requests', 'sessions', 'session_paths', 'path_hours', 'catalogue', 'trace_spans')
                OR i.inhparent = 'requests'::regclass
            )
    LOOP
        EXECUTE format('ALTER TABLE public.%I SET SCHEMA generation_1', derived);
    END LOOP;
END
$$;

DROP FUNCTION ensure_day(date);

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

SELECT show_generation();
