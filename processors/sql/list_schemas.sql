-- The schemas that have a table of this name, which is a view elsewhere. Parameter: the name. Rows: one a generation.
SELECT n.nspname AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = $1 AND c.relkind IN ('r', 'p')
ORDER BY n.nspname
