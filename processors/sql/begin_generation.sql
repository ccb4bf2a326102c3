-- Add the next generation, to be built. One row: its number. Parameters: version of the code, the broker time to begin at.
INSERT INTO generations (number, state, code_version, replay_from, records_are_read)
SELECT max(g.number) + 1, 'building', $1, $2, true FROM generations AS g RETURNING number
