-- Show the server that whoever holds the leader's lock is awake. One row.
SELECT 1
