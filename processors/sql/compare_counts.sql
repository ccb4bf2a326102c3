-- The partitions of which two generations have not counted the same records. Parameters: the generations. None: all is well.
SELECT a.topic, a.partition, a.next_offset AS old_offset, b.next_offset AS new_offset
FROM offsets AS a
LEFT JOIN offsets AS b ON b.generation = $2 AND b.topic = a.topic AND b.partition = a.partition
WHERE a.generation = $1
    AND (
        b.next_offset IS DISTINCT FROM a.next_offset OR b.fed_with = '{}'
        OR (a.stored_count + a.structural_count + a.duplicate_count + a.expired_count + a.dead_letter_count + a.drop_count + a.counted_from)
            IS DISTINCT FROM
            (b.stored_count + b.structural_count + b.duplicate_count + b.expired_count + b.dead_letter_count + b.drop_count + b.counted_from)
    )
ORDER BY a.topic, a.partition
