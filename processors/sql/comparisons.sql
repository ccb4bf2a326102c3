-- The statement that compares each derived table of two generations by key: rows that only one has, and by column how many
-- differ. Parameters: the two schemas. One row a table.
SELECT c.relname AS "table", format(
    'SELECT count(*) FILTER (WHERE b.%1$I IS NULL) AS "only the old", count(*) FILTER (WHERE a.%1$I IS NULL) AS "only the new"%2$s'
    ' FROM %3$I.%4$I AS a FULL JOIN %5$I.%4$I AS b USING (%6$s)',
    min(t.attname) FILTER (WHERE t.attnum = p.conkey[1]),
    string_agg(
        format(', count(*) FILTER (WHERE a.%1$I IS DISTINCT FROM b.%1$I AND a.%2$I IS NOT NULL AND b.%2$I IS NOT NULL) AS %1$I',
            t.attname, k.attname),
        '' ORDER BY t.attnum
    ) FILTER (WHERE t.attnum <> ALL (p.conkey)),
    $1::text, c.relname, $2::text,
    string_agg(quote_ident(t.attname), ', ' ORDER BY array_position(p.conkey, t.attnum)) FILTER (WHERE t.attnum = ANY (p.conkey))
) AS statement
FROM pg_class AS c
JOIN pg_constraint AS p ON p.conrelid = c.oid AND p.contype = 'p'
JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped
JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = p.conkey[1]
WHERE c.relnamespace = to_regnamespace($1::text) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname
ORDER BY c.relname
