-- One dead letter with its bytes, in every generation that has it. Rows: one a generation.
-- Parameters: topic, partition, offset. Index: dead_letters_pk.
SELECT
    d.generation, d.topic, d.partition, d."offset", d.step, d.reason, d.detail, d.state, d.attempts, d.failed_at,
    d.tried_at, d.log_time, d.record_key, d.record
FROM dead_letters AS d
WHERE d.topic = $1 AND d.partition = $2 AND d."offset" = $3
ORDER BY d.generation
