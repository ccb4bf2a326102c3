-- Let the owner of a partition feed every generation from now on. The rows are held and at one offset.
-- Parameters: topic, partition. Index: offsets_pk.
UPDATE offsets AS o SET fed_with = ARRAY(SELECT g.number FROM generations AS g ORDER BY g.number)
WHERE o.topic = $1 AND o.partition = $2
