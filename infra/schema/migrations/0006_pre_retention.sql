-- Retention: from which day on the requests of a project are stored, and the dropping of a day.
CREATE TABLE requests_since (
    project_id integer CONSTRAINT requests_since_pk PRIMARY KEY CONSTRAINT requests_since_have_project REFERENCES projects,
    day date NOT NULL
);

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
