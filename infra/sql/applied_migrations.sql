-- Every migration that this database has had, in order; one row a file.
SELECT name, checksum FROM schema_migrations ORDER BY name;
