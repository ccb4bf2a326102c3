-- Whether nothing was ever stored: then the first run shows its samples. One row; the first entry of any partition ends it.
-- Sessions stay when retention has removed their requests.
SELECT NOT EXISTS (SELECT 1 FROM requests) AND NOT EXISTS (SELECT 1 FROM sessions);
