-- Revoke a key; no row when there is none or it was revoked before. $1 project, $2 hash.
UPDATE api_keys SET revoked_at = now() WHERE project_id = $1 AND key_hash = $2 AND revoked_at IS NULL RETURNING key_hash;
