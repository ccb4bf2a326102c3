-- Dead letters that match, in order of the log, with how many there are in all. Rows: at most $12.
-- Parameters: the filter, each null for any: topic, partition, first offset, last offset, step, reason, states, project,
-- failed since, failed before, generation; rows at most.
-- The project stands near the beginning of every record that a door wrote; what has none there matches no project.
-- Reads the whole table unless generation and topic are given (then dead_letters_pk): for a person, not for a page.
SELECT
    d.generation, d.topic, d.partition, d."offset", d.step, d.reason, d.detail, d.state, d.attempts, d.failed_at,
    coalesce(octet_length(d.record), 0) AS record_bytes, count(*) OVER () AS matched
FROM dead_letters AS d
WHERE ($1::text IS NULL OR d.topic = $1)
    AND ($2::integer IS NULL OR d.partition = $2)
    AND ($3::bigint IS NULL OR d."offset" >= $3)
    AND ($4::bigint IS NULL OR d."offset" <= $4)
    AND ($5::text IS NULL OR d.step = $5)
    AND ($6::text IS NULL OR d.reason = $6)
    AND ($7::text[] IS NULL OR d.state = ANY($7))
    AND ($8::text IS NULL
        OR substring(encode(substring(d.record FROM 1 FOR 256), 'escape') FROM '"project_id":([0-9]+)') = $8)
    AND ($9::timestamptz IS NULL OR d.failed_at >= $9)
    AND ($10::timestamptz IS NULL OR d.failed_at < $10)
    AND ($11::smallint IS NULL OR d.generation = $11)
ORDER BY d.topic, d.partition, d."offset", d.generation
LIMIT $12
