-- Drop a day's partitions of records and of every generation's requests; how many. Running it twice changes nothing.
-- Parameter: the day.
SELECT drop_day($1)
