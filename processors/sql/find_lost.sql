-- How many events of one generation another lacks, and how many dead letters only that one has, or has only that one still,
-- because in the first an event has come of them. One row.
-- Parameters: the generations. The search path is the new one's; the views show the old one.
SELECT
    (
        SELECT count(*) FROM public.requests AS a
        WHERE NOT EXISTS (
            SELECT FROM requests AS b WHERE b.project_id = a.project_id AND b.day = a.day AND b.event_id = a.event_id
        )
    ) AS lost,
    (
        SELECT count(*) FROM dead_letters AS d
        WHERE d.generation = $2 AND d.state <> 'done' AND NOT EXISTS (
            SELECT FROM dead_letters AS o
            WHERE o.generation = $1 AND o.topic = d.topic AND o.partition = d.partition AND o."offset" = d."offset"
                AND o.state <> 'done'
        )
    ) AS new_dead_letters
