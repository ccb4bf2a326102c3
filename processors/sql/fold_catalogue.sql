-- Add uses to the catalogue, each key at most once, in key order. A row belongs to one partition, so no two workers meet.
-- Parameters: parallel arrays, one entry a value. Index: catalogue_pk. NOT idempotent, like fold_sessions.sql.
INSERT INTO catalogue AS s (
    project_id, kind, topic, partition, name_key, value_key, name, value, use_count, first_used_at, last_used_at
)
SELECT
    k.project_id, k.kind, k.topic, k.partition, k.name_key, k.value_key, k.name, k.value, k.use_count,
    k.first_used_at, k.last_used_at
FROM unnest(
    $1::integer[], $2::text[], $3::text[], $4::integer[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
    $9::bigint[], $10::timestamptz[], $11::timestamptz[]
) AS k (
    project_id, kind, topic, partition, name_key, value_key, name, value, use_count, first_used_at, last_used_at
)
ON CONFLICT ON CONSTRAINT catalogue_pk DO UPDATE SET
    use_count = s.use_count + excluded.use_count,
    first_used_at = least(s.first_used_at, excluded.first_used_at),
    last_used_at = greatest(s.last_used_at, excluded.last_used_at)
