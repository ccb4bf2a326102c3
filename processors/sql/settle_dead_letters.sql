-- Say how another attempt at dead letters ended: done, or open again where there is a reason.
-- Parameters: generation, topic, partition; offsets, steps, reasons, details (parallel arrays; null for those that are done).
-- Index: dead_letters_pk.
UPDATE dead_letters AS d
SET state = CASE WHEN k.reason IS NULL THEN 'done' ELSE 'open' END,
    step = coalesce(k.step, d.step),
    reason = coalesce(k.reason, d.reason),
    detail = coalesce(k.detail, d.detail),
    attempts = d.attempts + 1,
    tried_at = clock_timestamp()
FROM unnest($4::bigint[], $5::text[], $6::text[], $7::text[]) AS k ("offset", step, reason, detail)
WHERE d.generation = $1 AND d.topic = $2 AND d.partition = $3 AND d."offset" = k."offset"
