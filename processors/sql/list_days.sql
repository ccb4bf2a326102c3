-- The days that have partitions, before a day and without the ordinary one; oldest first. Rows: one a day. Parameter: day.
SELECT DISTINCT b.day
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
JOIN pg_class AS p ON p.oid = i.inhparent
CROSS JOIN LATERAL (SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM '\d{4}-\d\d-\d\d')::date AS day) AS b
WHERE p.relname IN ('records', 'requests') AND p.relkind = 'p' AND b.day > '0001-01-01' AND b.day < $1
ORDER BY b.day
