-- Stop a generation until a person lets it go on; the first worker's reasons stay.
-- Parameters: generation, topic, how many records were looked at, reasons, how often each (parallel arrays).
-- Index: stopped_generations_pk. Running it twice changes nothing.
INSERT INTO stopped_generations (generation, topic, seen_count, reasons, reason_counts)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ON CONSTRAINT stopped_generations_pk DO NOTHING
