-- Let every stopped generation go on, and say what had stopped it. Rows: one a generation.
DELETE FROM stopped_generations
RETURNING generation, stopped_at, topic, seen_count, reasons, reason_counts
