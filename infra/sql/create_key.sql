-- Store a new key. $1 hash, $2 project, $3 name for people, $4 may read, $5 may write.
INSERT INTO api_keys (key_hash, project_id, name, can_read, can_write) VALUES ($1, $2, $3, $4, $5);
