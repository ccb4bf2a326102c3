-- The list of applied migrations. It belongs to the runner, not to the schema: no migration could create it.
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text CONSTRAINT schema_migrations_pk PRIMARY KEY,
    -- SHA-256 of the file as it was applied, in hexadecimal.
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
