-- Create and attach the partitions of one day. Running it twice changes nothing. Parameter: the day.
SELECT ensure_day($1)
