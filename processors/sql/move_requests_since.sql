-- Note since which day the requests of projects are stored; a day never steps back. Running it twice changes nothing.
-- Parameters: projects in order, days (parallel arrays). Index: requests_since_pk.
INSERT INTO requests_since AS s (project_id, day)
SELECT k.project_id, k.day FROM unnest($1::integer[], $2::date[]) AS k (project_id, day)
ON CONFLICT ON CONSTRAINT requests_since_pk DO UPDATE SET day = excluded.day WHERE s.day < excluded.day
