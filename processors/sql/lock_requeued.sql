-- Which of these dead letters are still to be tried again, locked, so that nobody decides otherwise meanwhile.
-- Parameters: generation, topic, partition, offsets. Index: dead_letters_pk.
SELECT d."offset"
FROM dead_letters AS d
WHERE d.generation = $1 AND d.topic = $2 AND d.partition = $3 AND d."offset" = ANY($4::bigint[])
    AND d.state = 'requeue'
ORDER BY d."offset"
FOR UPDATE
