-- Whose a key is, and whether it works. $1 hash.
SELECT project_id, revoked_at IS NULL OR revoked_at > now() AS works FROM api_keys WHERE key_hash = $1;
