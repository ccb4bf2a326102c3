-- The database's clock. One row.
SELECT clock_timestamp()
