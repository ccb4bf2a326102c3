-- Keep records that could not become events. Parameters: generation, topic, partitions, offsets, keys, records, steps,
-- reasons, details, states, broker times (parallel arrays). Index: dead_letters_pk. Running it twice changes nothing.
INSERT INTO dead_letters (
    generation, topic, partition, "offset", record_key, record, step, reason, detail, state, log_time
)
SELECT
    $1, $2, k.partition, k."offset", k.record_key, k.record, k.step, k.reason, k.detail, k.state, k.log_time
FROM unnest(
    $3::integer[], $4::bigint[], $5::bytea[], $6::bytea[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::timestamptz[]
) AS k (partition, "offset", record_key, record, step, reason, detail, state, log_time)
ON CONFLICT ON CONSTRAINT dead_letters_pk DO NOTHING
