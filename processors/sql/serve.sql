-- Serve a generation; no other is served. Parameter: its number.
UPDATE generations SET state = 'served' WHERE number = $1
