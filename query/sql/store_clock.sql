-- What time is it in this snapshot?
-- Parameters: none. Index: none. Rows: 1.
SELECT now() AS now;
