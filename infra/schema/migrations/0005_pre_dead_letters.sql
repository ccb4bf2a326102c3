-- Dead letters can be taken up again: when the broker had appended the record, when it was last tried, and an index of
-- what a person wants. A generation that diverts too much is stopped by a row.
ALTER TABLE dead_letters
    ADD COLUMN log_time timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN tried_at timestamptz NOT NULL DEFAULT now();

-- The nearest that is known of letters from before.
UPDATE dead_letters SET log_time = failed_at, tried_at = failed_at;

CREATE INDEX dead_letters_by_wanted_state ON dead_letters (topic, partition, "offset")
    WHERE state IN ('requeue', 'drop');

CREATE TABLE stopped_generations (
    generation smallint NOT NULL CONSTRAINT stopped_generations_pk PRIMARY KEY,
    stopped_at timestamptz NOT NULL DEFAULT now(),
    topic text NOT NULL,
    seen_count integer NOT NULL,
    reasons text[] NOT NULL,
    reason_counts integer[] NOT NULL
);
