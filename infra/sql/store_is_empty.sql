-- Whether nothing was ever stored: then the first run shows its samples. One row; the first entry of any partition ends it.
SELECT NOT EXISTS (SELECT 1 FROM requests);
