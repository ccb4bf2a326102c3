-- Note that a migration was applied. $1 name of the file, $2 its SHA-256 in hexadecimal.
INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2);
