-- Whether a key is in use; one row. $1 hash.
SELECT EXISTS (SELECT 1 FROM api_keys WHERE key_hash = $1 AND (revoked_at IS NULL OR revoked_at > now()));
