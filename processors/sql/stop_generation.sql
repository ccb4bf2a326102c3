-- Stop the served generation until a person lets it go on; the first worker's reasons stay.
-- Parameters: topic, how many records were looked at, reasons, how often each (parallel arrays).
-- Index: generations_pk, stopped_generations_pk. Running it twice changes nothing.
INSERT INTO stopped_generations (generation, topic, seen_count, reasons, reason_counts)
SELECT g.number, $1, $2, $3, $4 FROM generations AS g WHERE g.state = 'served'
ON CONFLICT ON CONSTRAINT stopped_generations_pk DO NOTHING
