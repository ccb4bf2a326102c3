-- Since when the requests of projects are stored. At most one row a project. Parameter: projects. Index: requests_since_pk.
SELECT project_id, day::timestamp AT TIME ZONE 'UTC' AS since FROM requests_since WHERE project_id = ANY($1::integer[])
