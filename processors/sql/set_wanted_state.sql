-- Set what a person wants of dead letters: of the first $12 places in the log where one matches, in every generation that
-- has one there and is not done with it. One row: how many places match, how many were taken, how many letters changed.
-- Parameters: the filter of list_dead_letters.sql; places at most, null for all; the state wanted.
-- Reads the whole table as that does. Running it twice sets the next ones, if the filter asks for another state.
WITH matching AS (
    SELECT DISTINCT d.topic, d.partition, d."offset"
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
),
taken AS (
    SELECT m.topic, m.partition, m."offset"
    FROM matching AS m
    ORDER BY m.topic, m.partition, m."offset"
    LIMIT $12
),
changed AS (
    UPDATE dead_letters AS d
    SET state = $13
    FROM taken AS t
    WHERE d.topic = t.topic AND d.partition = t.partition AND d."offset" = t."offset" AND d.state NOT IN ('done', $13)
    RETURNING d.generation
)
SELECT
    (SELECT count(*) FROM matching) AS matched,
    (SELECT count(*) FROM taken) AS taken,
    (SELECT count(*) FROM changed) AS changed
