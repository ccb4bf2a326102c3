-- Let every generation have the days that records have, the ordinary partition among them. One row a day.
SELECT ensure_day(to_date(d.suffix, 'YYYYMMDD'))
FROM (
    SELECT substr(c.relname, length('records_') + 1) AS suffix
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.records'::regclass
    ORDER BY c.relname
) AS d
