-- Dead letters of partitions that are to be tried again, the first in the log first: as many as hold together
-- at most $5 bytes, or one. Parameters: generation, topic, partitions, rows at most, bytes at most.
-- Index: dead_letters_by_wanted_state, dead_letters_pk.
SELECT d.partition, d."offset", d.record_key, d.record, d.log_time
FROM (
    SELECT
        w.partition, w."offset", row_number() OVER ordered AS place,
        sum(w.record_bytes) OVER ordered AS bytes_to_here
    FROM (
        SELECT q.partition, q."offset", coalesce(octet_length(q.record), 0) AS record_bytes
        FROM dead_letters AS q
        WHERE q.generation = $1 AND q.topic = $2 AND q.partition = ANY($3::integer[])
            AND q.state = 'requeue'
        ORDER BY q.partition, q."offset"
        LIMIT $4
    ) AS w
    WINDOW ordered AS (ORDER BY w.partition, w."offset")
) AS f
JOIN dead_letters AS d
    ON d.generation = $1 AND d.topic = $2 AND d.partition = f.partition AND d."offset" = f."offset"
WHERE f.bytes_to_here <= $5 OR f.place = 1
ORDER BY d.partition, d."offset"
