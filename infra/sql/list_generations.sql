-- All generations; at most two rows.
SELECT number, state FROM generations ORDER BY number
